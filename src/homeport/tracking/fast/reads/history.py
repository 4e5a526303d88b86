"""metrics/get-history, -bulk and -bulk-interval (mlflow 3.17.2: server/handlers.py, store `get_metric_history*`).

PostgreSQL writes the JSON of the points: ten thousand of them cost this process a copy, not ten thousand objects.
Refuses to know runs: upstream gives an empty history for a run that is not there.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from homeport.tracking.fast.database import Database
from homeport.tracking.fast.reads import pages
from homeport.tracking.fast.reads.request import INT32, Query, UnsureError, either, whole
from homeport.tracking.fast.reads.texts import BARE, QUOTED, number, text
from homeport.tracking.front.call import Answer, Call

_AT_ONCE = 25_000  # points; also upstream's most for get-history-bulk
_MOST = 1_000_000  # points of a history without pages; a longer one is left to MLflow
_RUNS = 100
_POINTS_PER_RUN = 2500


def _point(names: Mapping[str, str]) -> str:
    return f"""{number(names)} || ',"timestamp":' || timestamp::text || ',"step":' || step::text || '}}'"""


_ORDER = "order by timestamp, step, value"
# Points after $4 others, at most $5 of them; one more is only counted.
_PAGE = f"""
select string_agg($3::text || point, ',') filter (where place <= $4::bigint + $5::bigint), count(*)
from (
  select {_point(QUOTED)} as point, row_number() over ({_ORDER}) as place
  from metrics where run_uuid = $1 and key = $2 {_ORDER} offset $4::bigint limit $5::bigint + 1
) page"""  # noqa: S608 - of constants only
_LONG = f"""
select string_agg($3::text || point, ',' order by place), count(*)
from (
  select {_point(QUOTED)} as point, row_number() over ({_ORDER}) as place
  from metrics where run_uuid = $1 and key = $2 {_ORDER} offset $4::bigint limit $5::bigint + 1
) page group by place / {_AT_ONCE} order by place / {_AT_ONCE}"""  # noqa: S608 - of constants only
_BULK = f"""
select string_agg($3::text || {text("run_uuid")} || ',"value":' || point, ',')
from (
  select run_uuid, {_point(BARE)} as point
  from metrics where run_uuid = any($1::text[]) and key = $2
  order by run_uuid, timestamp, step, value limit $4::bigint
) page"""  # noqa: S608 - of constants only
_SAMPLE_ORDER = "order by step, timestamp, value, is_nan"


def _samples(among: str = "") -> str:
    """At most $4 points of each run: the first of each of $4 even parts, but of the last part its last.

    That is what upstream's samples with the very last point in the place of the last sample come to.
    """
    return f"""
select string_agg(head || point, ',' order by run, place)
from unnest($1::text[], $3::text[]) with ordinality as wanted(id, head, run) cross join lateral (
  select {_point(QUOTED)} as point, place from (
    select value, timestamp, step, is_nan, part, lag(part) over sorted as before, lead(part) over sorted as after,
           row_number() over sorted as place
    from (
      select value, timestamp, step, is_nan, ntile($4::int) over ({_SAMPLE_ORDER}) as part
      from metrics where run_uuid = wanted.id and key = $2 {among}
    ) parts window sorted as ({_SAMPLE_ORDER})
  ) points where case when part = $4::int then after is null else part is distinct from before end
) sampled"""  # noqa: S608 - of constants only


_SAMPLES = _samples()
_SAMPLES_AMONG = _samples("and step between $5::bigint and $6::bigint")


class HistoryReads:
    """Answers what is asked about the values of a metric."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, call: Call) -> Answer | None:
        """All values of one metric of one run, or a page of them."""
        query = Query(call)
        most = query.number("max_results", 1, INT32)
        offset = pages.offset(query.text("page_token"))
        key = query.needed("metric_key")
        values = [either(query, "run_id", "run_uuid"), key, _head(key) + ',"value":', offset]
        size = min(most or _AT_ONCE, _AT_ONCE)
        points, count = (await self._database.rows(_PAGE, *values, size))[0]
        if count > size and size != most:
            size = min(most or _MOST, _MOST)
            pieces = await self._database.rows(_LONG, *values, size)
            count = sum(row[1] for row in pieces)
            if count > size:  # beyond what is answered at once, or another page: rare
                return None
            points = ",".join(row[0] for row in pieces)
        fields = [f'"metrics":[{points}]'] if points else []
        if count > size:
            fields.append(f'"next_page_token":"{pages.token(offset + size)}"')
        return Answer(("{" + ",".join(fields) + "}").encode())

    async def bulk(self, call: Call) -> Answer | None:
        """The values of one metric of several runs, one after the other; what the page's charts ask."""
        query = Query(call)
        runs = query.texts("run_id")
        key = query.text("metric_key")
        if not 0 < len(runs) <= _RUNS or key is None:
            raise UnsureError
        most = min(query.number("max_results", 1, INT32) or _AT_ONCE, _AT_ONCE)
        row = await self._database.row(_BULK, runs, key, _head(key) + ',"run_id":', most)
        points = row[0] if row else None
        return Answer(f'{{"metrics":[{points or ""}]}}'.encode())

    async def interval(self, call: Call) -> Answer | None:
        """Evenly sampled values of one metric of several runs; what the page's charts ask."""
        query = Query(call)
        runs = query.texts("run_ids")
        key = query.needed("metric_key")
        if not 0 < len(runs) <= _RUNS or not all(runs):
            raise UnsureError
        most = query.number("max_results", 1, _POINTS_PER_RUN) or _POINTS_PER_RUN
        steps = [query.text(name) for name in ("start_step", "end_step")]
        heads = [f'{_head(key)},"run_id":{_json(run)},"value":' for run in runs]
        values: list[object] = [runs, key, heads, most]
        if steps == [None, None]:
            row = await self._database.row(_SAMPLES, *values)
        else:
            start, end = (whole(step, -INT32, INT32) for step in steps)
            if start > end:
                raise UnsureError
            row = await self._database.row(_SAMPLES_AMONG, *values, start, end)
        points = row[0] if row else None
        return Answer(f'{{"metrics":[{points}]}}'.encode() if points else b"{}")


def _head(key: str) -> str:
    return f'{{"key":{_json(key)}'


def _json(text: str) -> str:
    return orjson.dumps(text).decode()
