"""What the fast lane finds of MLflow's schema in a database: one word for its shape, and whatever would trick it.

The word is the same for every database that MLflow's own migrations made. Refuses to know which shapes are good.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from homeport.tracking.fast.database import Database

# Everything a hot call reads or writes, and what MLflow keeps beside it that one might.
TABLES = (
    "assessments", "datasets", "experiment_tags", "experiments", "input_tags", "inputs", "latest_metrics",
    "logged_model_metrics", "logged_model_params", "logged_model_tags", "logged_models", "metrics",
    "model_version_tags", "model_versions", "params", "registered_model_aliases", "registered_model_tags",
    "registered_models", "runs", "spans", "tags", "trace_info", "trace_request_metadata", "trace_tags",
)  # fmt: skip
NEEDED = 12  # PostgreSQL's major version

_SERVER = """
select current_setting('server_version_num')::int / 10000 as major, version() like 'PostgreSQL %' as genuine,
  pg_is_in_recovery() as standby, current_setting('transaction_read_only') = 'on' as read_only,
  current_setting('server_encoding') as encoding, to_regclass('alembic_version') is not null as migrated
"""
_REVISION = "select coalesce(string_agg(version_num, ', '), 'none') as revision from alembic_version"
# As the names are found through the search path, like MLflow's own statements find them.
_TABLES = """
select t.name, c.oid is not null as found, c.relkind::text as kind, c.relrowsecurity as row_security,
  c.relnamespace = (select relnamespace from pg_class where oid = to_regclass('alembic_version')) as same_schema,
  exists (select from pg_trigger g where g.tgrelid = c.oid and not g.tgisinternal and g.tgenabled <> 'D') as triggers,
  exists (select from pg_rewrite w where w.ev_class = c.oid and w.rulename <> '_RETURN') as rules,
  exists (select from pg_inherits i where c.oid in (i.inhrelid, i.inhparent)) as inherits
from unnest($1::text[]) as t (name) left join pg_class c on c.oid = to_regclass(quote_ident(t.name))
order by t.name
"""
_COLUMNS = """
select c.relname::text as table, a.attname::text as name, format_type(a.atttypid, a.atttypmod) as type,
  a.attnotnull as required, a.atthasdef as has_default, a.attgenerated::text as generated,
  a.attidentity::text as identity
from unnest($1::text[]) as t (name) join pg_class c on c.oid = to_regclass(quote_ident(t.name))
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
order by 1, 2
"""
# Where workspaces were enabled once, MLflow's queries have more to say than the lane's.
_WORKSPACES = """
select exists (select from experiments where workspace <> 'default')
  or exists (select from registered_models where workspace <> 'default') as there
"""
# Keys: what conflicts, and what is deleted with what. A check refuses what MLflow's own writing would have refused.
_KEYS = """
select c.relname::text as table, k.contype::text as kind, k.condeferrable as deferrable, f.relname::text as other,
  k.confdeltype::text as on_delete, k.confupdtype::text as on_update,
  (select array_agg(a.attname::text order by u.position) from unnest(k.conkey) with ordinality as u (number, position)
   join pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.number) as columns
from unnest($1::text[]) as t (name) join pg_class c on c.oid = to_regclass(quote_ident(t.name))
join pg_constraint k on k.conrelid = c.oid and k.contype in ('p', 'u', 'f', 'x')
left join pg_class f on f.oid = k.confrelid
order by 1, 2, 7, 4
"""
_ODD = (
    ("row_security", "has row level security"),
    ("triggers", "has triggers"),
    ("rules", "has rules"),
    ("inherits", "is part of another table, or has parts"),
)


async def unusable(database: Database) -> str:
    """Why no schema at all could be used here; empty where one could."""
    server = await database.row(_SERVER)
    assert server is not None, "one row without a table"
    if not server["genuine"] or server["major"] < NEEDED:
        return f"the database is not PostgreSQL {NEEDED} or newer"
    if server["standby"] or server["read_only"]:
        return "the database only lets itself be read"
    if server["encoding"] != "UTF8":
        return f"the database's encoding is {server['encoding']}, not UTF8"
    return "" if server["migrated"] else "the database has no schema of MLflow's yet"


async def revision(database: Database) -> str:
    """The schema's revision, as MLflow's migrations wrote it down."""
    row = await database.row(_REVISION)
    assert row is not None, "one row of an aggregate"
    return str(row["revision"])


async def trick(database: Database) -> str:
    """Why a statement on these tables might do something else than it says; empty where it does not."""
    for row in await database.rows(_TABLES, list(TABLES)):
        name = row["name"]
        if not row["found"]:
            return f"there is no table {name}"
        if row["kind"] != "r":
            return f"{name} is not a plain table"
        if not row["same_schema"]:
            return f"{name} is found in another schema than alembic_version"
        for property_, what in _ODD:
            if row[property_]:
                return f"the table {name} {what}"
    return ""


async def has_workspaces(database: Database) -> bool:
    """Whether there are experiments or models of other workspaces than the default one."""
    row = await database.row(_WORKSPACES)
    return bool(row is not None and row["there"])


async def fingerprint(database: Database) -> str:
    """A word for columns and keys of these tables."""
    found: list[list[Any]] = []
    for statement in (_COLUMNS, _KEYS):
        found += [list(row.values()) for row in await database.rows(statement, list(TABLES))]
    found = sorted(found, key=str)
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16]
