"""logged-models: create, finalize, params and tags. What MLflow would refuse, and what is rare, is left to MLflow.

Follows mlflow 3.17.2, server/handlers.py `_create_logged_model` and those after it. Refuses to know tables.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

from homeport.tracking.fast.reads.model import STATUSES
from homeport.tracking.fast.writes.body import LONGEST_RUN_ID, body, experiment_id, is_id, is_text
from homeport.tracking.fast.writes.group import Groups
from homeport.tracking.fast.writes.model_statements import (
    MadeModel,
    ModelCreated,
    ModelFinalized,
    ModelParams,
    ModelTagged,
    Pairs,
)
from homeport.tracking.fast.writes.names import random_name
from homeport.tracking.front.call import Answer, Call

_CREATE_KEYS = frozenset({"experiment_id", "name", "model_type", "source_run_id", "params", "tags"})
_PAIR_KEYS = frozenset({"key", "value"})
_MOST_PAIRS = 1000
_LONGEST_ID = 36
_LONGEST_NAME = 500
_LONGEST_KIND = 500
_LONGEST_KEY = 255
_LONGEST_VALUE = 2**20  # upstream has no bound
_NOT_IN_NAMES = frozenset("/:.%\"'")

_CREATED = ModelCreated()
_PARAMS = ModelParams()
_TAGGED = ModelTagged()
_FINALIZED = ModelFinalized()


def _pairs(given: object, *, twice: bool) -> Pairs | None:
    """Params or tags, of which upstream validates nothing. A key may be there twice where the last one counts."""
    if type(given) is not list or len(given) > _MOST_PAIRS:
        return None
    pairs: Pairs = {}
    for pair in given:
        if type(pair) is not dict or not pair.keys() <= _PAIR_KEYS:
            return None
        key, value = pair.get("key"), pair.get("value", "")
        if not key or not is_text(key, _LONGEST_KEY) or not is_text(value, _LONGEST_VALUE):
            return None
        pairs[key] = value
    return pairs if twice or len(pairs) == len(given) else None


def read_created(call: Call) -> MadeModel | None:
    """The model to be made, but for its id and the moment."""
    given = body(call)
    if given is None or not given.keys() <= _CREATE_KEYS:
        return None
    experiment = experiment_id(given.get("experiment_id"))
    name, kind, run = (given.get(field, "") for field in ("name", "model_type", "source_run_id"))
    params, tags = (_pairs(given.get(field, []), twice=False) for field in ("params", "tags"))
    if experiment is None or params is None or tags is None:
        return None
    if not is_text(name, _LONGEST_NAME) or not is_text(kind, _LONGEST_KIND) or not is_text(run, LONGEST_RUN_ID):
        return None
    return None if _NOT_IN_NAMES & set(name) else MadeModel("", experiment, name, 0, kind, run, params, tags)


def _of_a_model(call: Call, *keys: str, named: bool) -> tuple[str, dict[str, Any]] | None:
    """The model that the path names, and a body that names no other.

    Args:
        call: the request.
        keys: what may be in the body.
        named: whether the body must name it too, as upstream wants of some.
    """
    given, (model,) = body(call), call.parts
    if given is None or call.query or not given.keys() <= {"model_id", *keys}:
        return None
    if not is_id(model.removeprefix("m-"), _LONGEST_ID - len("m-")):
        return None
    said = given.get("model_id", None if named else model)
    return (model, given) if said == model else None


def read_pairs(call: Call, field: str, *, named: bool, twice: bool) -> tuple[str, Pairs] | None:
    """A model and what it gets."""
    found = _of_a_model(call, field, named=named)
    pairs = _pairs(found[1].get(field), twice=twice) if found is not None else None
    return (found[0], pairs) if found is not None and pairs is not None else None


def read_finalized(call: Call) -> tuple[str, int] | None:
    """A model and its new status."""
    found = _of_a_model(call, "status", named=True)
    if found is None:
        return None
    model, given = found
    status = given.get("status")
    if type(status) is str and status in STATUSES:
        return model, STATUSES.index(status)
    return (model, status) if type(status) is int and 0 <= status < len(STATUSES) else None


def _now() -> int:
    return int(time.time() * 1000)


class Models:
    """The calls.

    Args:
        groups: write them.
    """

    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    async def create(self, call: Call) -> Answer | None:
        """logged-models."""
        made = read_created(call)
        if made is None:
            return None
        model = f"m-{uuid.uuid4().hex}"
        try:
            name = made.name or random_name()
        except (LookupError, OSError, AttributeError):
            return None
        made = made._replace(model=model, name=name, at=_now())
        return await self._groups.write(_CREATED, model, made, 1 + len(made.params) + len(made.tags), len(call.body))

    async def finalize(self, call: Call) -> Answer | None:
        """logged-models/{id}: it gets a status."""
        found = read_finalized(call)
        if found is None:
            return None
        model, status = found
        return await self._groups.write(_FINALIZED, model, (status, _now()), 1, len(call.body))

    async def log_params(self, call: Call) -> Answer | None:
        """logged-models/{id}/params."""
        found = read_pairs(call, "params", named=True, twice=False)
        if found is None:
            return None
        return await self._groups.write(_PARAMS, *found, 1 + len(found[1]), len(call.body))

    async def set_tags(self, call: Call) -> Answer | None:
        """logged-models/{id}/tags."""
        found = read_pairs(call, "tags", named=False, twice=True)
        if found is None:
            return None
        return await self._groups.write(_TAGGED, *found, 1 + len(found[1]), len(call.body))
