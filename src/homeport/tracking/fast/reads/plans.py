"""The statements of searches: asked of the private server, where upstream's own grammar makes them, and remembered.

A statement depends on the texts of filter and order only (`tracking/planning.py`), never on what the database holds.
What most searches ask, no filter and no order, is known here, so that they are answered while MLflow still starts.
Refuses to know the grammar and the rows.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import aiohttp
import orjson

from homeport.tracking.fast.reads.request import UnsureError
from homeport.tracking.front.private import Private
from homeport.tracking.internal import PREFIX
from homeport.tracking.newest_runs import NEVER

_QUESTION = f"{PREFIX}plan"
_REMEMBERED = 500
_LONGEST = 4000  # characters of filter and order; longer ones are planned each time


class Search(NamedTuple):
    """What decides about a plan."""

    of: str  # a key of `PLAIN`
    filter: str
    order_by: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """A statement that gives ids in order, and what stands at its placeholders.

    Args:
        statement: with $1, $2 ...
        places: for each placeholder the name of what the search fills in, or a value.
    """

    statement: str
    places: tuple[Mapping[str, Any], ...]

    @property
    def is_latest_first(self) -> bool:
        """Whether it may be told since when the runs that matter started, which each row has second."""
        return any(place.get("name") == "since" for place in self.places)

    def values(self, **given: object) -> list[object]:
        """The values of the placeholders.

        Args:
            given: experiments, stages, offset, limit (which is one more than the page, to see if there is another) and
                since.
        """
        return [given[place["name"]] if "name" in place else place["value"] for place in self.places]


def _named(*names: str) -> tuple[Mapping[str, Any], ...]:
    return tuple({"name": name} for name in names)


# What upstream's code makes of no filter and no order; a test compares.
PLAIN = {
    "runs": Plan(
        f"select run_uuid, start_time from runs where coalesce(start_time, {NEVER}) >= $1::bigint"  # noqa: S608
        " and experiment_id = any($2::int[]) and lifecycle_stage = any($3::varchar[])"
        " order by start_time desc, run_uuid offset $4 limit $5",
        _named("since", "experiments", "stages", "offset", "limit"),
    ),
    "experiments": Plan(
        "select experiment_id from experiments where lifecycle_stage = any($1::varchar[])"
        " order by creation_time desc, experiment_id offset $2 limit $3",
        _named("stages", "offset", "limit"),
    ),
    "traces": Plan(
        "select trace_info.request_id from trace_info where trace_info.experiment_id = any($1::int[])"
        " order by trace_info.timestamp_ms desc, trace_info.request_id offset $2 limit $3",
        _named("experiments", "offset", "limit"),
    ),
    "registered-models": Plan(
        "select registered_models.name from registered_models left outer join (select workspace, name"
        " from registered_model_tags where key = 'mlflow.prompt.is_prompt' and value = 'true' and workspace = 'default'"
        " group by workspace, name) as prompt"
        " on registered_models.workspace = prompt.workspace and registered_models.name = prompt.name"
        " where registered_models.workspace = 'default' and prompt.name is null"
        " order by registered_models.name offset $1 limit $2",
        _named("offset", "limit"),
    ),
    "model-versions": Plan(
        "select model_versions.name, version from model_versions left outer join (select workspace, name"
        " from model_version_tags where key = 'mlflow.prompt.is_prompt' and value = 'true' and workspace = 'default'"
        " group by workspace, name) as prompt"
        " on model_versions.workspace = prompt.workspace and model_versions.name = prompt.name"
        " where model_versions.workspace = 'default' and prompt.name is null and current_stage != 'Deleted_Internal'"
        " order by last_updated_time desc, model_versions.name, version desc offset $1 limit $2",
        _named("offset", "limit"),
    ),
    "logged-models": Plan(
        "select model_id from logged_models where lifecycle_stage <> 'deleted' and experiment_id = any($1::int[])"
        " order by creation_timestamp_ms desc, model_id offset $2 limit $3",
        _named("experiments", "offset", "limit"),
    ),
}


class Plans:
    """Finds the plan of a search."""

    def __init__(self, private: Private) -> None:
        self._private = private
        self._known: OrderedDict[Search, Plan | None] = OrderedDict()

    async def find(self, search: Search) -> Plan:
        """The plan.

        Raises:
            UnsureError: upstream refuses such a search, or cannot be asked.
        """
        if not search.filter and not search.order_by:
            return PLAIN[search.of]
        if search in self._known:
            self._known.move_to_end(search)
            plan = self._known[search]
        else:
            plan = await self._ask(search)
            if len(search.filter) + sum(map(len, search.order_by)) <= _LONGEST:
                self._known[search] = plan
                if len(self._known) > _REMEMBERED:
                    self._known.popitem(last=False)
        if plan is None:
            raise UnsureError
        return plan

    async def _ask(self, search: Search) -> Plan | None:
        question = orjson.dumps(search._asdict())
        try:
            reply = await self._private.ask(_QUESTION, question, {"content-type": "application/json"})
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise UnsureError from error
        if reply.status == 422:  # noqa: PLR2004 - upstream refuses it, today and tomorrow
            return None
        if reply.status != 200:  # noqa: PLR2004
            raise UnsureError
        found = orjson.loads(reply.body)
        return Plan(found["statement"], tuple(found["places"]))
