"""registered-models/alias and model-versions/get.

Follows mlflow 3.17.2: store/model_registry/sqlalchemy_store.py `get_model_version_by_alias` and `get_model_version`,
entities/model_registry/model_version.py `to_proto`. Refuses to know who may use a name: a name that is there was
valid when it was given.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from homeport.tracking.fast.database import Database, Row
from homeport.tracking.fast.reads.request import INT32, Query, UnsureError, whole
from homeport.tracking.fast.reads.run import pairs
from homeport.tracking.front.call import Answer, Call

_ALIAS = re.compile(r"[\w-]{1,255}", re.ASCII)
_LATEST = "latest"  # not an alias that is stored: upstream looks for the highest version

_COLUMNS = """
select v.name, v.version, v.creation_time, v.last_updated_time, v.description, v.user_id, v.current_stage, v.source,
       v.run_id, v.run_link, v.status, v.status_message, tag.keys, tag.vals,
       array(
         select alias from registered_model_aliases
         where workspace = v.workspace and name = v.name and version = v.version
       ) as aliases
from model_versions v left join lateral (
  select array_agg(key) as keys, array_agg(value) as vals from model_version_tags
  where workspace = v.workspace and name = v.name and version = v.version
) tag on true
where v.workspace = 'default' and v.name = $1 and v.current_stage != 'Deleted_Internal'
"""
_BY_VERSION = f"{_COLUMNS} and v.version = $2"
_BY_ALIAS = f"""{_COLUMNS} and v.version = (
  select version from registered_model_aliases where workspace = 'default' and name = $1 and alias = $2
)"""  # noqa: S608 - of constants only


class RegistryReads:
    """Answers what is asked about model versions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def by_version(self, call: Call) -> Answer | None:
        """One version by its number."""
        query = Query(call)
        version = whole(query.needed("version"), 0, INT32)
        return _single(await self._database.row(_BY_VERSION, query.needed("name"), version))

    async def by_alias(self, call: Call) -> Answer | None:
        """The version that an alias stands for."""
        query = Query(call)
        name, alias = query.needed("name"), query.needed("alias")
        if not _ALIAS.fullmatch(alias) or alias.lower() == _LATEST:
            raise UnsureError
        return _single(await self._database.row(_BY_ALIAS, name, alias))


def _single(row: Row | None) -> Answer | None:
    return None if row is None else Answer(orjson.dumps({"model_version": _version(row)}))


def _version(row: Row) -> dict[str, Any]:
    (
        name, version, created, updated, description, user, stage, source, run, link, status, message, keys, values,
        aliases,
    ) = row  # fmt: skip
    if created is None or "/" in name or ":" in name:  # upstream refuses to read such a name, even if it is there
        raise UnsureError
    said: dict[str, Any] = {"name": name, "version": str(version), "creation_timestamp": created}
    optional = {
        "last_updated_timestamp": updated, "description": description, "user_id": user, "current_stage": stage,
        "source": source, "run_id": run, "run_link": link, "status": status, "status_message": message or None,
    }  # fmt: skip
    said |= {field: value for field, value in optional.items() if value is not None}
    if keys:
        said["tags"] = pairs(keys, values)
    if aliases:
        said["aliases"] = aliases
    return said
