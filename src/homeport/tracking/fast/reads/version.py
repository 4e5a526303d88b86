"""Registered models and their versions as MLflow writes them: the statements that fetch them, and their JSON.

Follows mlflow 3.17.2, store/model_registry/dbmodels/models.py and entities/model_registry/*.py `to_proto`. Tags are
fetched for a whole page at once: no index leads to those of one model. Refuses to know which ones are wanted, and why.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from homeport.tracking.fast.database import Row
from homeport.tracking.fast.reads.request import UnsureError
from homeport.tracking.fast.reads.run import pairs

# Such a version is gone; a stage that is null would be told by some of upstream's calls and not by others.
_THERE = "v.current_stage is distinct from 'Deleted_Internal'"
_COLUMNS = """
v.name, v.version, v.creation_time, v.last_updated_time, v.description, v.user_id, v.current_stage, v.source, v.run_id,
v.run_link, v.status, v.status_message, tag.keys, tag.vals
"""
_ALIASES = """
array(
  select alias from registered_model_aliases
  where workspace = v.workspace and name = v.name and version = v.version
) as aliases
"""
ONE = f"""
select {_COLUMNS}, {_ALIASES} from model_versions v left join lateral (
  select array_agg(key) as keys, array_agg(value) as vals from model_version_tags
  where workspace = v.workspace and name = v.name and version = v.version
) tag on true
where v.workspace = 'default' and v.name = $1 and {_THERE}
"""  # noqa: S608 - of constants only
_MANY = f"""
with wanted as ({{wanted}}),
tag as (
  select t.name, t.version, array_agg(t.key) as keys, array_agg(t.value) as vals
  from model_version_tags t join wanted on wanted.name = t.name and wanted.version = t.version
  where t.workspace = 'default' group by t.name, t.version
)
select {_COLUMNS}, {{aliases}} from wanted
join model_versions v on v.workspace = 'default' and v.name = wanted.name and v.version = wanted.version
left join tag on tag.name = v.name and tag.version = v.version
where {_THERE} order by wanted.place
"""  # noqa: S608 - of constants only
# Upstream leaves out aliases wherever it tells of several versions, but for get-latest-versions.
MANY = _MANY.format(
    wanted="select * from unnest($1::text[], $2::int[]) with ordinality as given(name, version, place)",
    aliases="null::text[] as aliases",
)
_LATEST = f"""
select name, version, row_number() over (order by name, {{order}}) as place from (
  select v.name, v.version,
         row_number() over (partition by v.name, v.current_stage order by v.version desc) as nth,
         min(v.version) over (partition by v.name, v.current_stage) as earliest
  from model_versions v where v.workspace = 'default' and v.name = any($1::text[]) and {_THERE}
) as staged where nth = 1
"""  # noqa: S608 - of constants only
# The newest of each stage. Upstream asks for no order; PostgreSQL mostly gives it these.
LATEST_OF_ONE = _MANY.format(wanted=_LATEST.format(order="earliest"), aliases="null::text[] as aliases")
LATEST_WITH_ALIASES = _MANY.format(wanted=_LATEST.format(order="earliest"), aliases=_ALIASES)
LATEST_OF_MANY = _MANY.format(wanted=_LATEST.format(order="version"), aliases="null::text[] as aliases")
MODELS = """
with wanted as (select * from unnest($1::text[]) with ordinality as given(name, place)),
tag as (
  select t.name, array_agg(t.key) as keys, array_agg(t.value) as vals
  from registered_model_tags t join wanted on wanted.name = t.name where t.workspace = 'default' group by t.name
),
alias as (
  select a.name, array_agg(a.alias) as names, array_agg(a.version) as versions
  from registered_model_aliases a join wanted on wanted.name = a.name where a.workspace = 'default' group by a.name
)
select r.name, r.creation_time, r.last_updated_time, r.description, tag.keys, tag.vals, alias.names, alias.versions
from wanted join registered_models r on r.workspace = 'default' and r.name = wanted.name
left join tag on tag.name = r.name left join alias on alias.name = r.name order by wanted.place
"""

_STATES = frozenset({"PENDING_REGISTRATION", "FAILED_REGISTRATION", "READY", None})  # others upstream cannot write


def is_readable(name: str) -> bool:
    """Whether upstream looks a model of that name up at all; it refuses some, even if they are there."""
    return bool(name.strip()) and not any(mark in name for mark in "/:") and name != "." and not name.startswith("..")


def written(row: Row) -> dict[str, Any]:
    """A version's JSON.

    Args:
        row: of `ONE`, `MANY` or one of `LATEST…`.

    Raises:
        UnsureError: the database holds what upstream cannot write.
    """
    (
        name, version, created, updated, description, user, stage, source, run, link, status, message, keys, values,
        aliases,
    ) = row  # fmt: skip
    if created is None or stage is None or status not in _STATES:
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


def models(rows: Iterable[Row], latest: Sequence[Row]) -> list[dict[str, Any]]:
    """The JSON of registered models.

    Args:
        rows: of `MODELS`.
        latest: of `LATEST_OF_ONE` or `LATEST_OF_MANY`, for these models.

    Raises:
        UnsureError: as `written`.
    """
    newest: dict[str, list[dict[str, Any]]] = {}
    for row in latest:
        newest.setdefault(row["name"], []).append(written(row))
    return [_model(row, newest) for row in rows]


def _model(row: Row, newest: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    name, created, updated, description, keys, values, aliases, versions = row
    said: dict[str, Any] = {"name": name}
    if created is not None:
        said["creation_timestamp"] = created
    if updated:
        said["last_updated_timestamp"] = updated
    if description:
        said["description"] = description
    if name in newest:
        said["latest_versions"] = newest[name]
    if keys:
        said["tags"] = pairs(keys, values)
    if aliases:
        found = zip(aliases, versions, strict=True)
        said["aliases"] = [{"alias": alias, "version": str(version)} for alias, version in found]
    return said
