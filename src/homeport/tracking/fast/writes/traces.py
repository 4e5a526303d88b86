"""OpenTelemetry's traces (/v1/traces), and what MLflow's client tells of a trace at its end (3.0/mlflow/traces).

What upstream would refuse, what it translates and what is rare is left to MLflow. Refuses to know tables.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from homeport.tracking.fast import traces
from homeport.tracking.fast.writes import otlp
from homeport.tracking.fast.writes.body import (
    LARGEST_INTEGER,
    LONGEST_KEY,
    LONGEST_TAG,
    body,
    experiment_id,
    is_text,
)
from homeport.tracking.fast.writes.group import Groups
from homeport.tracking.fast.writes.trace_statements import (
    ARTIFACT_LOCATION,
    FINALIZED,
    SPANS_LOCATION,
    Info,
    Infos,
    Spans,
)
from homeport.tracking.front.call import Answer, Call

ROLLUPS = "MLFLOW_SQL_TRACE_ROLLUPS_ENABLED"
_INFO_KEYS = frozenset({
    "trace_id", "client_request_id", "trace_location", "request_preview", "response_preview", "request_time",
    "execution_duration", "state", "trace_metadata", "tags", "assessments",
})  # fmt: skip
_SHORT = 2**12  # bytes
_LONGEST_ID = 50
_LONGEST_PREVIEW = 1000
_LONGEST_SESSION = 250
_LONGEST_NAME = 4096
_ID = re.compile(r"tr-[0-9a-f]{32}")
_TIME = re.compile(r"[12][0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{3})?Z")
_DURATION = re.compile(r"([0-9]{1,9})(?:\.([0-9]{3}))?s")
# Whose presence changes what is done.
_ODD_HEADERS = frozenset({b"transfer-encoding", b"x-mlflow-run-id"})

_SPANS = Spans()
_INFOS = Infos()


def read_export(call: Call) -> otlp.Batch | None:
    """The spans of a request, for one experiment."""
    given: dict[bytes, bytes] = {}
    for name, value in call.headers:
        if name in given or name in _ODD_HEADERS:
            return None
        given[name] = value
    encoding = given.get(b"content-encoding")
    if given.get(b"content-type") != b"application/x-protobuf" or encoding not in {None, b"gzip"}:
        return None
    experiment = experiment_id(given.get(b"x-mlflow-experiment-id", b"").decode("latin-1"))
    sent = call.body if encoding is None else otlp.unzipped(call.body)
    if experiment is None or not sent or len(sent) > otlp.LARGEST or call.query:
        return None
    return otlp.read(sent, experiment)


def read_info(call: Call) -> Info | None:
    """What is told of a trace, as MLflow's client writes it."""
    given = body(call)
    if given is None or given.keys() != {"trace"} or call.query:
        return None
    trace = given["trace"]
    if type(trace) is not dict or trace.keys() != {"trace_info"}:
        return None
    info = trace["trace_info"]
    if type(info) is not dict or not info.keys() <= _INFO_KEYS or info.get("assessments"):
        return None
    trace_id, experiment = info.get("trace_id"), _experiment(info.get("trace_location"))
    start, duration = _time(info.get("request_time")), _duration(info.get("execution_duration"))
    tags, metadata = _pairs(info.get("tags")), _pairs(info.get("trace_metadata"))
    if type(trace_id) is not str or not _ID.fullmatch(trace_id) or experiment is None or start is None:
        return None
    if duration == -1 or info.get("state") not in traces.STATES or tags is None or metadata is None:
        return None
    client, request, response = (info.get(f) for f in ("client_request_id", "request_preview", "response_preview"))
    for text, longest in ((client, _LONGEST_ID), (request, _LONGEST_PREVIEW), (response, _LONGEST_PREVIEW)):
        if text is not None and not is_text(text, longest):
            return None
    name = tags.pop(traces.TRACE_NAME, None)
    session = metadata.pop(traces.SESSION, None)
    tokens = _tokens(metadata.pop(traces.TOKEN_USAGE, "{}"))
    costs = _costs(metadata.pop(traces.COST, "{}"))
    if len(name or "") > _LONGEST_NAME or len(session or "") > _LONGEST_SESSION or tokens is None or costs is None:
        return None
    if ARTIFACT_LOCATION in tags or SPANS_LOCATION in tags or FINALIZED in metadata:
        return None
    kept = (name, request, response, session, *tokens, *costs)
    return Info(trace_id, experiment, start, duration, info["state"], client, kept, tags, metadata)


def _experiment(given: object) -> int | None:
    if type(given) is not dict or given.keys() != {"type", "mlflow_experiment"} or given["type"] != "MLFLOW_EXPERIMENT":
        return None
    found = given["mlflow_experiment"]
    if type(found) is not dict or found.keys() != {"experiment_id"}:
        return None
    return experiment_id(found["experiment_id"])


def _time(given: object) -> int | None:
    """A time in ms."""
    if type(given) is not str or not _TIME.fullmatch(given):
        return None
    try:
        found = datetime.strptime(given[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    milliseconds = int(found.timestamp()) * 1000 + int(given[20:23] if given[19] == "." else 0)
    return milliseconds if milliseconds >= 0 else None


def _duration(given: object) -> int | None:
    """A duration in ms; -1 for what is none."""
    if given is None:
        return None
    found = _DURATION.fullmatch(given) if type(given) is str else None
    return int(found[1]) * 1000 + int(found[2] or 0) if found else -1


def _pairs(given: object) -> dict[str, str] | None:
    """Texts by their keys. Upstream validates none of them: only what every table takes is taken here."""
    if given is None:
        return {}
    if type(given) is not dict:
        return None
    found: dict[str, str] = given
    for key, value in found.items():
        if not key or not is_text(key, LONGEST_KEY) or not is_text(value, LONGEST_TAG):
            return None
    return dict(found)


def _object(text: str, known: Mapping[str, str]) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if type(found) is dict and found.keys() <= known.keys() else None


def _tokens(text: str) -> tuple[int | None, ...] | None:
    """The columns of token usage; None for what is not plainly that."""
    found = _object(text, traces.TOKENS)
    if found is None or not all(type(value) is int and 0 <= value <= LARGEST_INTEGER for value in found.values()):
        return None
    return tuple(found.get(name) for name in traces.TOKENS)


def _costs(text: str) -> tuple[float | None, ...] | None:
    """The columns of cost; None for what is not plainly that."""
    found = _object(text, traces.COSTS)
    if found is None or not all(type(value) is float and abs(value) < 2**53 for value in found.values()):
        return None
    return tuple(found.get(name) for name in traces.COSTS)


class Traces:
    """The calls.

    Args:
        groups: write them.
    """

    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    async def export(self, call: Call) -> Answer | None:
        """/v1/traces."""
        # A long one takes many milliseconds to read, in which others shall be answered.
        batch = read_export(call) if len(call.body) <= _SHORT else await asyncio.to_thread(read_export, call)
        if batch is None:
            return None
        first = min(trace.trace for trace in batch.traces)
        return await self._groups.write(_SPANS, first, batch, len(batch.spans), 2 * len(call.body))

    async def start(self, call: Call) -> Answer | None:
        """3.0/mlflow/traces, which clients call when a trace has ended."""
        info = read_info(call)
        if info is None:
            return None
        rows = 1 + len(info.tags) + len(info.metadata)
        return await self._groups.write(_INFOS, info.trace, info, rows, len(call.body))
