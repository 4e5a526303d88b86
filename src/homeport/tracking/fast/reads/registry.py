"""One registered model, one version of it, where that lies, and what an alias stands for.

Follows mlflow 3.17.2: server/handlers.py, store/model_registry/sqlalchemy_store.py. Searches: `registry_search.py`.
Refuses to know who may use a name: a name that is there was valid when it was given.
"""

from __future__ import annotations

import re

import orjson

from homeport.tracking.fast.database import Database, Row
from homeport.tracking.fast.reads import version
from homeport.tracking.fast.reads.request import INT32, Body, Query, UnsureError, whole
from homeport.tracking.front.call import Answer, Call

_ALIAS = re.compile(r"[\w-]{1,255}", re.ASCII)
_LATEST = "latest"  # not an alias that is stored: upstream looks for the highest version
_STAGES = {stage.lower(): stage for stage in ("None", "Staging", "Production", "Archived")}

_BY_VERSION = f"{version.ONE} and v.version = $2"
_BY_ALIAS = f"""{version.ONE} and v.version = (
  select version from registered_model_aliases where workspace = 'default' and name = $1 and alias = $2
)"""  # noqa: S608 - of constants only
_PLACE = """
select storage_location, source from model_versions
where workspace = 'default' and name = $1 and version = $2 and current_stage != 'Deleted_Internal'
"""
_IS_THERE = "select 1 from registered_models where workspace = 'default' and name = $1"


class RegistryReads:
    """Answers what is asked about one model."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def by_version(self, call: Call) -> Answer | None:
        """One version by its number."""
        query = Query(call)
        return _single(await self._database.row(_BY_VERSION, _name(query), _number(query)))

    async def by_alias(self, call: Call) -> Answer | None:
        """The version that an alias stands for."""
        query = Query(call)
        name, alias = _name(query), query.needed("alias")
        if not _ALIAS.fullmatch(alias) or alias.lower() == _LATEST:
            raise UnsureError
        return _single(await self._database.row(_BY_ALIAS, name, alias))

    async def place(self, call: Call) -> Answer | None:
        """Where a version's artifacts are."""
        query = Query(call)
        row = await self._database.row(_PLACE, _name(query), _number(query))
        if row is None:
            return None
        found = row["storage_location"] or row["source"]
        return Answer(orjson.dumps({} if found is None else {"artifact_uri": found}))

    async def model(self, call: Call) -> Answer | None:
        """One registered model, with the newest version of each stage."""
        name = _name(Query(call))
        rows = await self._database.rows(version.MODELS, [name])
        if not rows:
            return None
        latest = await self._database.rows(version.LATEST_OF_ONE, [name])
        return Answer(orjson.dumps({"registered_model": version.models(rows, latest)[0]}))

    async def latest(self, call: Call) -> Answer | None:
        """The newest version of each stage that was asked for; of all of them where none was."""
        fields = Query(call) if call.method == "GET" else Body(call, {"name", "stages"})
        name = fields.text("name") or ""
        stages = {_STAGES.get(stage.lower()) for stage in fields.texts("stages")} or set(_STAGES.values())
        if not version.is_readable(name) or None in stages:
            raise UnsureError
        rows = await self._database.rows(version.LATEST_WITH_ALIASES, [name])
        if not rows and await self._database.row(_IS_THERE, name) is None:
            return None
        found = [each for each in map(version.written, rows) if each["current_stage"] in stages]
        return Answer(orjson.dumps({"model_versions": found} if found else {}))


def _name(query: Query) -> str:
    name = query.needed("name")
    if not version.is_readable(name):
        raise UnsureError
    return name


def _number(query: Query) -> int:
    return whole(query.needed("version"), 0, INT32)


def _single(row: Row | None) -> Answer | None:
    return None if row is None else Answer(orjson.dumps({"model_version": version.written(row)}))
