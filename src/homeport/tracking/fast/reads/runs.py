"""runs/get and runs/search.

Follows mlflow 3.17.2: server/handlers.py `get_run_impl` and `search_runs_impl`, store `get_run` and `_search_runs`.
Refuses to know the grammar of filters (`plans.py`) and what a run looks like (`run.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from homeport.tracking.fast.database import Database, Row
from homeport.tracking.fast.reads import pages, run
from homeport.tracking.fast.reads.plans import Plan, Plans, Search
from homeport.tracking.fast.reads.request import INT32, Body, Query, either, whole
from homeport.tracking.fast.reads.since import EVER, Since
from homeport.tracking.front.call import Answer, Call

_LARGEST_PAGE = 50_000
_PAGE = 1000
_AT_ONCE = 200  # runs fetched and written by one statement: between two of them other requests get their turn
_LONGEST = 4000  # characters of a search that are remembered
_LARGE = 2000  # runs; pages longer than that are written one after the other, since each needs its memory
STAGES = {"ACTIVE_ONLY": ["active"], "DELETED_ONLY": ["deleted"], "ALL": ["active", "deleted"]}
VIEWS = tuple(STAGES)
_FIELDS = {"experiment_ids", "filter", "run_view_type", "max_results", "order_by", "page_token"}


class RunReads:
    """Answers what is asked about runs."""

    def __init__(self, database: Database, plans: Plans) -> None:
        self._database = database
        self._plans = plans
        self._since = Since()
        self._turn = asyncio.Semaphore(1)

    async def get(self, call: Call) -> Answer | None:
        """One run by its id."""
        row = await self._database.row(run.ONE, either(Query(call), "run_id", "run_uuid"))
        return None if row is None else Answer(f'{{"run":{run.one(row)}}}'.encode())

    async def search(self, call: Call) -> Answer | None:
        """A page of runs."""
        body = Body(call, _FIELDS)
        search = Search("runs", body.text("filter") or "", tuple(body.texts("order_by")))
        experiments = [whole(text, 0, INT32) for text in body.texts("experiment_ids")]
        stages = STAGES[body.choice("run_view_type", VIEWS) or "ACTIVE_ONLY"]
        offset = pages.offset(body.text("page_token"))
        most = body.number("max_results", 1, _LARGEST_PAGE) or _PAGE
        plan = await self._plans.find(search)
        given = {"experiments": experiments, "stages": stages, "offset": offset, "limit": most + 1}
        found = [row[0] for row in await self._rows(search, plan, given)]
        if len(found) > _LARGE:
            async with self._turn:
                runs = await self._written(found[:most])
        else:
            runs = await self._written(found[:most])
        fields = [b'"runs":[' + runs + b"]"] if runs else []
        if len(found) > most:
            fields.append(b'"next_page_token":"' + pages.token(offset + most).encode() + b'"')
        return Answer(b"{" + b",".join(fields) + b"}")

    async def _rows(self, search: Search, plan: Plan, given: Mapping[str, Any]) -> Sequence[Row]:
        """A page of ids and one more, if there is one."""
        if not plan.is_latest_first:
            return await self._database.rows(plan.statement, *plan.values(**given))
        asked: tuple[Any, ...] = (search, *map(str, given.values()))
        since = self._since.guess(asked)
        rows = await self._database.rows(plan.statement, *plan.values(**given, since=since))
        if len(rows) < given["limit"] and since != EVER:
            rows = await self._database.rows(plan.statement, *plan.values(**given, since=EVER))
        if sum(map(len, (search.filter, *search.order_by, *asked[1:]))) <= _LONGEST:
            self._since.learn(asked, rows[-1][1] if len(rows) == given["limit"] else None)
        return rows

    async def _written(self, ids: list[str]) -> bytes:
        """The runs, separated by commas, in this order."""
        pieces: list[bytes] = []
        for start in range(0, len(ids), _AT_ONCE):
            wanted = ids[start : start + _AT_ONCE]
            rows = await self._database.rows(run.MANY, wanted)
            pieces.append(",".join(run.many(rows, wanted)).encode())
        return b",".join(pieces)
