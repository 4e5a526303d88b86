"""runs/get and runs/search.

Follows mlflow 3.17.2: server/handlers.py `get_run_impl` and `search_runs_impl`, store `get_run` and `_search_runs`.
Refuses to know the grammar of filters (`plans.py`) and what a run looks like (`run.py`).
"""

from __future__ import annotations

import asyncio

from homeport.tracking.fast.database import Database
from homeport.tracking.fast.reads import pages, run
from homeport.tracking.fast.reads.plans import Plans, Search
from homeport.tracking.fast.reads.request import INT32, Body, Query, UnsureError, either, whole
from homeport.tracking.front.call import Answer, Call

_LARGEST_PAGE = 50_000
_PAGE = 1000
_AT_ONCE = 200  # runs fetched and written by one statement: between two of them other requests get their turn
_LARGE = 2000  # runs; pages longer than that are written one after the other, since each needs its memory
STAGES = {"ACTIVE_ONLY": ["active"], "DELETED_ONLY": ["deleted"], "ALL": ["active", "deleted"]}
VIEWS = tuple(STAGES)
_FIELDS = {"experiment_ids", "filter", "run_view_type", "max_results", "order_by", "page_token"}


class RunReads:
    """Answers what is asked about runs."""

    def __init__(self, database: Database, plans: Plans) -> None:
        self._database = database
        self._plans = plans
        self._turn = asyncio.Semaphore(1)

    async def get(self, call: Call) -> Answer | None:
        """One run by its id."""
        row = await self._database.row(run.ONE, either(Query(call), "run_id", "run_uuid"))
        return None if row is None else Answer(b'{"run":' + run.written(row) + b"}")

    async def search(self, call: Call) -> Answer | None:
        """A page of runs."""
        body = Body(call, _FIELDS)
        search = Search("runs", body.text("filter") or "", tuple(body.texts("order_by")))
        experiments = [whole(text, 0, INT32) for text in body.texts("experiment_ids")]
        stages = STAGES[body.choice("run_view_type", VIEWS) or "ACTIVE_ONLY"]
        offset = pages.offset(body.text("page_token"))
        most = body.number("max_results", 1, _LARGEST_PAGE) or _PAGE
        plan = await self._plans.find(search)
        values = plan.values(experiments=experiments, stages=stages, offset=offset, limit=most + 1)
        found = [row[0] for row in await self._database.rows(plan.statement, *values)]
        if len(found) > _LARGE:
            async with self._turn:
                runs = await self._written(found[:most])
        else:
            runs = await self._written(found[:most])
        fields = [b'"runs":[' + runs + b"]"] if runs else []
        if len(found) > most:
            fields.append(b'"next_page_token":"' + pages.token(offset + most).encode() + b'"')
        return Answer(b"{" + b",".join(fields) + b"}")

    async def _written(self, ids: list[str]) -> bytes:
        """The runs, separated by commas, in this order."""
        pieces: list[bytes] = []
        for start in range(0, len(ids), _AT_ONCE):
            wanted = ids[start : start + _AT_ONCE]
            rows = await self._database.rows(run.MANY, wanted)
            if len(rows) != len(wanted):  # one was removed for good meanwhile
                raise UnsureError
            pieces += [run.written(row) for row in rows]
        return b",".join(pieces)
