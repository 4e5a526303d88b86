"""3.0/mlflow/traces/search, and traces by their ids: what is known of them, and with their spans.

Follows mlflow 3.17.2: server/handlers.py `_search_traces_v3`, `_get_trace_info_v3`, `_get_trace` and the like. With
logins, upstream leaves out what a user may not see: only administrators get these here. Refuses to know the grammar of
filters (`plans.py`) and what traces and spans look like (`traces.py`, `spans.py`).
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence

from homeport.tracking.fast import traces
from homeport.tracking.fast.database import Database, Row
from homeport.tracking.fast.reads import pages, spans
from homeport.tracking.fast.reads.plans import Plans, Search
from homeport.tracking.fast.reads.request import INT32, Body, UnsureError, whole
from homeport.tracking.front.call import Answer, Call

_FIELDS = {"locations", "filter", "max_results", "order_by", "page_token"}
_PAGE, _LARGEST_PAGE = 100, 500
_ID = re.compile(r"tr-[0-9a-f]{32}")
_MOST = 500  # traces asked for by their ids
_LARGEST = 2**20  # bytes of spans in one answer
_SHORT = 2**14  # bytes of them; more take many milliseconds to write, in which others shall be answered
_STATS = "mlflow.trace.sizeStats"
_SIZE = "select coalesce(sum(octet_length(content)), 0)::int8 as size from spans where trace_id = any($1::text[])"
_SPANS = "select trace_id, content, parent_span_id, start_time_unix_nano from spans where trace_id = any($1::text[])"


class TraceReads:
    """Answers what is asked about traces."""

    def __init__(self, database: Database, plans: Plans) -> None:
        self._database = database
        self._plans = plans

    async def get(self, call: Call) -> Answer | None:
        """One trace's information, by its id in the path; upstream reads nothing else."""
        (trace,) = call.parts
        arguments = call.arguments
        if arguments is None or not arguments.keys() <= {"trace_id"} or not _ID.fullmatch(trace):
            return None
        row = await self._database.row(traces.MANY, [trace])
        return None if row is None else Answer(b'{"trace":{"trace_info":' + traces.written(row) + b"}}")

    async def several(self, call: Call) -> Answer | None:
        """The information of these traces, in this order; without those that are not there."""
        infos = await self._written(_known(Body(call, {"trace_ids"}).texts("trace_ids")))
        return Answer(b'{"trace_infos":[' + infos + b"]}" if infos else b"{}")

    async def whole(self, call: Call) -> Answer | None:
        """One trace with its spans; one that is not yet complete upstream waits for."""
        arguments = call.arguments
        if (
            not arguments
            or not arguments.keys() <= {"trace_id", "allow_partial"}
            or max(map(len, arguments.values())) > 1
        ):
            return None
        trace, partial = arguments.get("trace_id", [""])[0], arguments.get("allow_partial", ["false"])[0].lower()
        if not _ID.fullmatch(trace) or partial not in {"true", "false"}:
            return None
        found = await self._whole([trace], partial=partial == "true")
        return Answer(b'{"trace":' + found[0] + b"}") if found else None

    async def wholes(self, call: Call) -> Answer | None:
        """Traces with their spans, in this order; without those that are not there or not yet complete."""
        arguments = call.arguments
        if not arguments or arguments.keys() != {"trace_ids"}:
            return None
        found = await self._whole(_known(arguments["trace_ids"]), partial=False)
        return Answer(b'{"traces":[' + b",".join(found) + b"]}" if found else b"{}")

    async def search(self, call: Call) -> Answer | None:
        """A page of traces."""
        body = Body(call, _FIELDS)
        search = Search("traces", body.text("filter") or "", tuple(body.texts("order_by")))
        experiments = _experiments((call.json or {}).get("locations"))
        offset = pages.offset(body.text("page_token"))
        most = body.number("max_results", 1, _LARGEST_PAGE) or _PAGE
        plan = await self._plans.find(search)
        values = plan.values(experiments=experiments, offset=offset, limit=most)
        found = [row[0] for row in await self._database.rows(plan.statement, *values)]
        infos = await self._written(found, all_there=True)
        fields = [b'"traces":[' + infos + b"]"] if infos else []
        if len(found) == most:
            fields.append(b'"next_page_token":"' + pages.token(offset + most).encode() + b'"')
        return Answer(b"{" + b",".join(fields) + b"}")

    async def _whole(self, ids: list[str], *, partial: bool) -> list[bytes]:
        size = await self._database.row(_SIZE, ids)
        if size is None or size["size"] > _LARGEST:
            raise UnsureError
        infos = await self._database.rows(traces.MANY, ids)
        if any(traces.tag(row, "mlflow.trace.spansLocation") != "TRACKING_STORE" for row in infos):
            raise UnsureError
        parts: dict[str, list[Row]] = {}
        for row in await self._database.rows(_SPANS, ids):
            parts.setdefault(row["trace_id"], []).append(row)
        if size["size"] <= _SHORT:
            return _wholes(infos, parts, partial)
        return await asyncio.to_thread(_wholes, infos, parts, partial)

    async def _written(self, ids: list[str], *, all_there: bool = False) -> bytes:
        """The traces, separated by commas, in this order."""
        rows = await self._database.rows(traces.MANY, ids) if ids else []
        if all_there and len(rows) != len(ids):  # one was deleted meanwhile
            raise UnsureError
        return b",".join([traces.written(row) for row in rows])


def _known(ids: list[str]) -> list[str]:
    """Ids of the usual kind, each once."""
    if not 0 < len(ids) <= _MOST or len(set(ids)) < len(ids) or not all(map(_ID.fullmatch, ids)):
        raise UnsureError
    return ids


def _wholes(infos: Sequence[Row], parts: Mapping[str, Sequence[Row]], partial: bool) -> list[bytes]:
    """Each trace with its spans; of those that are not complete only if that is wanted."""
    found = []
    for info in infos:
        rows = parts.get(info["request_id"], ())
        if partial or (rows and len(rows) >= _expected(info)):
            said = _spans(rows)
            more = b',"spans":[' + said + b"]" if said else b""
            found.append(b'{"trace_info":' + traces.written(info) + more + b"}")
    return found


def _spans(rows: Sequence[Row]) -> bytes:
    """The spans, separated by commas: roots first, then by their start."""
    ordered = sorted(rows, key=lambda row: (row["parent_span_id"] is not None, row["start_time_unix_nano"]))
    return b",".join([spans.written(row["content"]) for row in ordered])


def _expected(info: Row) -> int:
    """How many spans a trace has, as its client told."""
    text = traces.metadata(info, _STATS)
    if not text:
        return 0
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UnsureError from error
    number = found.get("num_spans", 0) if isinstance(found, dict) else None
    if type(number) is not int:
        raise UnsureError
    return number


def _experiments(locations: object) -> list[int]:
    """The experiments' numbers."""
    if type(locations) is not list or not locations:
        raise UnsureError
    found = []
    for location in locations:
        if type(location) is not dict or not location.keys() <= {"type", "mlflow_experiment"}:
            raise UnsureError
        if location.get("type", "MLFLOW_EXPERIMENT") != "MLFLOW_EXPERIMENT":
            raise UnsureError
        experiment = location.get("mlflow_experiment")
        if type(experiment) is not dict or experiment.keys() != {"experiment_id"}:
            raise UnsureError
        if type(experiment["experiment_id"]) is not str:
            raise UnsureError
        found.append(whole(experiment["experiment_id"], 0, INT32))
    return found
