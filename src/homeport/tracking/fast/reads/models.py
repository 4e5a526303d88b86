"""logged-models/{id} and logged-models/search.

Follows mlflow 3.17.2: server/handlers.py `_get_logged_model` and `_search_logged_models`, store
`search_logged_models`. Refuses to know the grammar of filters (`plans.py`) and what a model looks like (`model.py`).
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from homeport.tracking.fast.database import Database
from homeport.tracking.fast.reads import model
from homeport.tracking.fast.reads.plans import Plans, Search
from homeport.tracking.fast.reads.request import INT32, INT64, Body, UnsureError, whole
from homeport.tracking.front.call import Answer, Call

# Whether a deleted model is told too; upstream reads other spellings of yes as well.
_DELETED_TOO = {b"": False, b"allow_deleted=false": False, b"allow_deleted=true": True}
_LONGEST_ID = 36
_PAGE = 50  # the default of service.proto
_LARGEST_PAGE = 5000  # upstream has no bound
_AT_ONCE = 200  # models fetched and written by one statement
_FIELDS = {"experiment_ids", "filter", "datasets", "max_results", "order_by", "page_token"}
_DATASET = frozenset({"dataset_name", "dataset_digest"})
_ORDER = frozenset({"field_name", "ascending", *_DATASET})
_CREATED = {"creation_time", "creation_timestamp", "creation_timestamp_ms"}

Order = dict[str, Any]


class ModelReads:
    """Answers what is asked about logged models."""

    def __init__(self, database: Database, plans: Plans) -> None:
        self._database = database
        self._plans = plans

    async def get(self, call: Call) -> Answer | None:
        """One model by its id."""
        deleted_too = _DELETED_TOO.get(call.query)
        if deleted_too is None or call.body or len(call.parts[0]) > _LONGEST_ID:
            return None
        row = await self._database.row(model.ONE, call.parts[0], deleted_too)
        return None if row is None else Answer(b'{"model":' + model.written(row) + b"}")

    async def search(self, call: Call) -> Answer | None:
        """A page of models."""
        body = Body(call, _FIELDS)
        fields = call.json or {}
        given = body.texts("experiment_ids")
        experiments = [whole(text, 0, INT32) for text in given]
        if not given:
            return None
        wanted = body.text("filter") or ""
        order = [_order(each) for each in _objects(fields, "order_by", _ORDER)]
        datasets = [_dataset(each) for each in _objects(fields, "datasets", _DATASET)]
        most = body.number("max_results", 1, _LARGEST_PAGE) or _PAGE
        token = _Token(given, wanted, order)
        offset = token.read(body.text("page_token"))
        plan = await self._plans.find(Search("logged-models", wanted, _asked(order, datasets)))
        values = plan.values(experiments=experiments, offset=offset, limit=most + 1)
        found = [row[0] for row in await self._database.rows(plan.statement, *values)]
        models = await self._written(found[:most])
        told = [b'"models":[' + models + b"]"] if models else []
        if len(found) > most:
            told.append(b'"next_page_token":"' + token.of(offset + most).encode() + b'"')
        return Answer(b"{" + b",".join(told) + b"}")

    async def _written(self, ids: list[str]) -> bytes:
        """The models, separated by commas, in this order."""
        pieces: list[bytes] = []
        for start in range(0, len(ids), _AT_ONCE):
            wanted = ids[start : start + _AT_ONCE]
            rows = await self._database.rows(model.MANY, wanted)
            if len(rows) != len(wanted):  # one was removed for good meanwhile
                raise UnsureError
            pieces += [model.written(row) for row in rows]
        return b",".join(pieces)


class _Token:
    """Page tokens of one search, which hold the search (utils/search_utils.py `SearchLoggedModelsPaginationToken`)."""

    def __init__(self, experiments: list[str], wanted: str, order: list[Order]) -> None:
        self._search = {"experiment_ids": experiments, "filter_string": wanted or None, "order_by": order or None}

    def of(self, offset: int) -> str:
        """The token of the page that begins there."""
        return base64.b64encode(json.dumps({**self._search, "offset": offset}).encode()).decode()

    def read(self, text: str | None) -> int:
        """Where the page of a token begins; 0 without a token.

        Raises:
            UnsureError: not just so a token of this search.
        """
        if not text:
            return 0
        try:
            offset = json.loads(base64.b64decode(text, validate=True))["offset"]
        except (binascii.Error, ValueError, KeyError, TypeError) as error:
            raise UnsureError from error
        if type(offset) is not int or not 0 < offset <= INT64 or self.of(offset) != text:
            raise UnsureError
        return offset


def _objects(fields: dict[str, Any], name: str, known: frozenset[str]) -> list[dict[str, Any]]:
    """The field, a list of objects with no fields but those."""
    found = fields.get(name)
    if found is None:
        return []
    if type(found) is not list or not all(type(each) is dict and each.keys() <= known for each in found):
        raise UnsureError
    return found


def _order(given: dict[str, Any]) -> Order:
    """As the handler tells the store."""
    ascending = given.get("ascending", True)
    if type(ascending) is not bool:
        raise UnsureError
    return {"field_name": _needed(given, "field_name"), "ascending": ascending, **_about(given)}


def _dataset(given: dict[str, Any]) -> Order:
    return {"dataset_name": _needed(given, "dataset_name"), "dataset_digest": _about(given)["dataset_digest"]}


def _about(given: dict[str, Any]) -> Order:
    found = {name: given.get(name) for name in ("dataset_name", "dataset_digest")}
    if not all(value is None or type(value) is str for value in found.values()):
        raise UnsureError
    return {name: value or None for name, value in found.items()}


def _needed(given: dict[str, Any], name: str) -> str:
    found = given.get(name)
    if type(found) is not str or not found:
        raise UnsureError
    return found


def _asked(order: list[Order], datasets: list[Order]) -> tuple[str, ...]:
    """What decides about the plan beside the filter, each as JSON; nothing for what is the order anyway."""
    plain = len(order) == 1 and order[0]["field_name"] in _CREATED and not order[0]["ascending"]
    return tuple(json.dumps(each) for each in (*(() if plain else order), *datasets))
