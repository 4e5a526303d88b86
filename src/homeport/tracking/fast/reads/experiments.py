"""experiments/get, get-by-name and search.

Follows mlflow 3.17.2: server/handlers.py, store `get_experiment*` and `_search_experiments`, entities/experiment.py
`to_proto`. Refuses to know the grammar of filters (`plans.py`).
"""

from __future__ import annotations

from typing import Any

import orjson

from homeport.tracking.fast.database import Database, Row
from homeport.tracking.fast.reads import pages
from homeport.tracking.fast.reads.plans import Plans, Search
from homeport.tracking.fast.reads.request import INT32, Body, Query, UnsureError, whole
from homeport.tracking.fast.reads.run import pairs
from homeport.tracking.fast.reads.runs import STAGES, VIEWS
from homeport.tracking.front.call import Answer, Call

_LARGEST_PAGE = 50_000
_FIELDS = {"max_results", "page_token", "filter", "order_by", "view_type"}

_COLUMNS = """
select e.experiment_id, e.name, e.artifact_location, e.lifecycle_stage, e.creation_time, e.last_update_time,
       e.workspace, tag.keys, tag.vals
"""
_TAGS = """
left join lateral (
  select array_agg(key) as keys, array_agg(value) as vals from experiment_tags where experiment_id = e.experiment_id
) tag on true
"""
_BY_ID = f"{_COLUMNS} from experiments e {_TAGS} where e.experiment_id = $1"
_BY_NAME = f"{_COLUMNS} from experiments e {_TAGS} where e.name = $1"
_MANY = f"""{_COLUMNS} from unnest($1::int[]) with ordinality as wanted(id, place)
join experiments e on e.experiment_id = wanted.id {_TAGS} order by wanted.place"""


class ExperimentReads:
    """Answers what is asked about experiments."""

    def __init__(self, database: Database, plans: Plans) -> None:
        self._database = database
        self._plans = plans

    async def get(self, call: Call) -> Answer | None:
        """One experiment by its id, also a deleted one."""
        return _single(await self._database.rows(_BY_ID, whole(Query(call).needed("experiment_id"), 0, INT32)))

    async def get_by_name(self, call: Call) -> Answer | None:
        """One experiment by its name, also a deleted one."""
        return _single(await self._database.rows(_BY_NAME, Query(call).needed("experiment_name")))

    async def search(self, call: Call) -> Answer | None:
        """A page of experiments."""
        said = Query(call) if call.method == "GET" else Body(call, _FIELDS)
        search = Search("experiments", said.text("filter") or "", tuple(said.texts("order_by")))
        offset = pages.offset(said.text("page_token"))
        most = said.number("max_results", 1, _LARGEST_PAGE)
        if most is None:  # upstream refuses
            return None
        plan = await self._plans.find(search)
        view = said.choice("view_type", VIEWS) if isinstance(said, Body) else said.text("view_type")
        if view is not None and view not in STAGES:
            raise UnsureError
        values = plan.values(stages=STAGES[view or "ACTIVE_ONLY"], offset=offset, limit=most + 1)
        found = [row[0] for row in await self._database.rows(plan.statement, *values)]
        rows = await self._database.rows(_MANY, found[:most]) if found else []
        if len(rows) != len(found[:most]):  # one was removed for good meanwhile
            return None
        told: dict[str, Any] = {"experiments": [_experiment(row) for row in rows]} if rows else {}
        if len(found) > most:
            told["next_page_token"] = pages.token(offset + most)
        return Answer(orjson.dumps(told))


def _single(rows: Any) -> Answer | None:  # noqa: ANN401 - records of the driver
    """The answer where there is exactly one."""
    return Answer(orjson.dumps({"experiment": _experiment(rows[0])})) if len(rows) == 1 else None


def _experiment(row: Row) -> dict[str, Any]:
    number, name, artifacts, stage, created, updated, workspace, keys, values = row
    if artifacts is None or stage is None or not workspace.strip() or workspace != workspace.strip():
        raise UnsureError
    said: dict[str, Any] = {
        "experiment_id": str(number), "name": name, "artifact_location": artifacts, "lifecycle_stage": stage,
        "workspace": workspace,
    }  # fmt: skip
    if created:
        said["creation_time"] = created
    if updated:
        said["last_update_time"] = updated
    if keys:
        said["tags"] = pairs(keys, values)
    return said
