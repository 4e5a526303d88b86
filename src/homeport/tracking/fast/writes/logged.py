"""How metrics, params and tags of many requests are written in one statement.

The statement is put together of the parts a group needs. It checks in itself that each run exists and is active,
writes tables in the order params, metrics, latest_metrics, model metrics, tags, each in the order of its key, and says
for each request whether it was written (mlflow 3.17.2: store/tracking/sqlalchemy_store.py `log_batch`). Refuses to
know HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import count
from typing import Any, NamedTuple

import orjson

from homeport.tracking.fast.database import Connection
from homeport.tracking.fast.writes.group import Item
from homeport.tracking.front.call import EMPTY, Answer

Column = Sequence[Any]


class Entries(NamedTuple):
    """What one request logs to one run; each table's entries as columns, empty where there are none."""

    metrics: Sequence[Column] = ()  # keys, values, timestamps, steps, is_nan
    params: Sequence[Column] = ()  # keys, values; a key once
    tags: Sequence[Column] = ()  # keys, values; a key once
    models: Sequence[Column] = ()  # model ids, names, timestamps, steps, values, dataset names, dataset digests


_METRICS = ("text", "float8", "int8", "int8", "bool")
_PAIRS = ("text", "text")
_MODELS = ("text", "text", "int8", "int8", "float8", "text", "text")

# A slot is one run, or one request where requests of a run can fare differently.
_START = """with asked as materialized (
  select a.slot, r.run_uuid, r.experiment_id from unnest({}::text[]) with ordinality as a(id, slot)
  left join runs r on r.run_uuid = a.id and r.lifecycle_stage = 'active'
)"""
_GIVEN_PARAMS = """, param as materialized (
  select p.slot, asked.run_uuid, p.key, p.value from unnest({}) as p(slot, key, value) join asked using (slot)
  where asked.run_uuid is not null
)"""
_GIVEN_MODELS = """, model as materialized (
  select m.*, asked.run_uuid, asked.experiment_id
  from unnest({}) as m(slot, model_id, name, timestamp, step, value, dataset_name, dataset_digest)
  join asked using (slot) where asked.run_uuid is not null
)"""
_BAD_PARAMS = """select p.slot from param p join params e on e.key = p.key and e.run_uuid = p.run_uuid
  where e.value <> p.value"""
_SAME_MODEL = """e.model_id = m.model_id and e.metric_name = m.name and e.metric_timestamp_ms = m.timestamp
  and e.metric_step = m.step and e.run_id = m.run_uuid"""
_BAD_MODELS = f"""select m.slot from model m
  where not exists (select from logged_models l where l.model_id = m.model_id)
  union all select m.slot from model m join logged_model_metrics e on {_SAME_MODEL}
  where (e.metric_value, e.dataset_name, e.dataset_digest)
    is distinct from (m.value, m.dataset_name, m.dataset_digest)"""  # noqa: S608 - constants only
_IDS = """, run as materialized (
  select array_agg(run_uuid order by slot) as ids from asked
)"""
_IDS_WITHOUT_BAD = """, bad as materialized ({}), run as materialized (
  select array_agg(case when slot not in (select slot from bad) then run_uuid end order by slot) as ids from asked
)"""
# What is there already is left out. What another server inserts meanwhile violates the key, and all is tried again.
_PARAMS = """, wrote_params as (
  insert into params (run_uuid, key, value)
  select distinct p.run_uuid, p.key, p.value from param p, run
  where run.ids[p.slot] is not null
    and not exists (select from params e where e.key = p.key and e.run_uuid = p.run_uuid)
  order by 1, 2 returning 1
)"""
_GIVEN_METRICS = """, metric as materialized (
  select run.ids[m.slot] as run_uuid, m.key, m.value, m.timestamp, m.step, m.is_nan, m.nth
  from run, unnest({}) with ordinality as m(slot, key, value, timestamp, step, is_nan, nth)
  where run.ids[m.slot] is not null
  order by 1, 2, 5 desc, 4 desc, 3 desc, 7
)"""
_METRICS_ROWS = """, wrote_metrics as (
  insert into metrics (run_uuid, key, value, timestamp, step, is_nan)
  select run_uuid, key, value, timestamp, step, is_nan from metric{after}
  on conflict do nothing returning 1
), wrote_latest as (
  insert into latest_metrics (run_uuid, key, value, timestamp, step, is_nan)
  select distinct on (run_uuid, key) run_uuid, key, value, timestamp, step, is_nan
  from metric, (select count(*) from wrote_metrics) as before
  order by run_uuid, key, step desc, timestamp desc, value desc, nth
  on conflict (key, run_uuid) do update
  set value = excluded.value, timestamp = excluded.timestamp, step = excluded.step, is_nan = excluded.is_nan
  where (excluded.step, excluded.timestamp, excluded.value)
    > (latest_metrics.step, latest_metrics.timestamp, latest_metrics.value)
  returning 1
)"""
_MODELS_ROWS = f""", wrote_models as (
  insert into logged_model_metrics (model_id, metric_name, metric_timestamp_ms, metric_step, metric_value,
    experiment_id, run_id, dataset_name, dataset_digest)
  select distinct m.model_id, m.name, m.timestamp, m.step, m.value, m.experiment_id, m.run_uuid,
    m.dataset_name, m.dataset_digest
  from model m, run{{after}} where run.ids[m.slot] is not null
    and not exists (select from logged_model_metrics e where {_SAME_MODEL})
  order by 1, 2, 3, 4 returning 1
)"""  # noqa: S608 - constants only
_TAGS = """, wrote_tags as (
  insert into tags (run_uuid, key, value)
  select distinct on (1, 2) run.ids[t.slot], t.key, t.value
  from run, unnest({given}) with ordinality as t(slot, key, value, nth){after}
  where run.ids[t.slot] is not null
  order by 1, 2, t.nth desc
  on conflict (key, run_uuid) do update set value = excluded.value returning 1
)"""


@lru_cache
def statement(metrics: bool, params: bool, tags: bool, models: bool) -> str:
    """The statement for a group that has entries for these tables; its arguments come in the order of `Entries`."""
    numbers = count(1)

    def given(*types: str, through: str = "") -> str:
        return ", ".join(f"${next(numbers)}{through}::{kind}[]" for kind in ("int4", *types))

    parts = [_START.format(f"${next(numbers)}")]
    columns = [given(*_METRICS, through="::text") if metrics else "", given(*_PAIRS) if params else ""]
    columns += [given(*_PAIRS) if tags else "", given(*_MODELS) if models else ""]
    bad: list[str] = []
    if params:
        parts.append(_GIVEN_PARAMS.format(columns[1]))
        bad.append(_BAD_PARAMS)
    if models:
        parts.append(_GIVEN_MODELS.format(columns[3]))
        bad.append(_BAD_MODELS)
    parts.append(_IDS_WITHOUT_BAD.format(" union all ".join(bad)) if bad else _IDS)
    # Each part asks for the count of the one before, and so begins after that has ended.
    after = ""
    if params:
        parts.append(_PARAMS)
        after = ", (select count(*) from wrote_params) as before"
    if metrics:
        parts.append(_GIVEN_METRICS.format(columns[0]) + _METRICS_ROWS.format(after=after))
        after = ", (select count(*) from wrote_latest) as before"
    if models:
        parts.append(_MODELS_ROWS.format(after=after))
        after = ", (select count(*) from wrote_models) as before"
    if tags:
        parts.append(_TAGS.format(given=columns[2], after=after))
    parts.append(" select ids from run")
    return "".join(parts)


def _literal(column: list[Any]) -> str:
    """A metric's column as PostgreSQL writes arrays.

    Seven times less work here than asyncpg's binary arrays. JSON differs from it in the brackets only: names hold no
    quotes and no backslashes (`body.is_name`), and doubles are told with all their digits.
    """
    return "{" + orjson.dumps(column)[1:-1].decode() + "}"


class Logged:
    """The kind of item whose data are `Entries`."""

    name = "logging"

    def admission(self) -> Callable[[Item], bool]:
        """What MLflow would refuse if it came later than another of the group comes in the next one."""
        params: dict[tuple[str, str], str] = {}
        models: dict[tuple[Any, ...], tuple[Any, ...]] = {}

        def admits(item: Item) -> bool:
            entries: Entries = item.data
            run = item.run
            if entries.params:
                given = list(zip(*entries.params, strict=True))
                if any(params.get((run, key), value) != value for key, value in given):
                    return False
                params.update({(run, key): value for key, value in given})
            if entries.models:
                rows = [(row[:4], row[4:]) for row in zip(*entries.models, strict=True)]
                if any(models.get((run, *key), value) != value for key, value in rows):
                    return False
                models.update({(run, *key): value for key, value in rows})
            return True

        return admits

    async def write(self, connection: Connection, items: Sequence[Item], again: bool) -> list[Answer | None]:
        """Write them; all of it may be written twice without harm."""
        ids: list[str] = []
        slots: list[int] = []  # of each item
        by_request = any(item.data.params or item.data.models for item in items)
        known: dict[str, int] = {}
        tables: tuple[list[list[Any]], ...] = tuple([[] for _ in range(1 + width)] for width in (5, 2, 2, 7))
        for item in items:
            slot = 0 if by_request else known.get(item.run, 0)
            if not slot:
                ids.append(item.run)
                slot = known[item.run] = len(ids)
            slots.append(slot)
            for table, columns in zip(tables, item.data, strict=True):
                if columns:
                    table[0].extend([slot] * len(columns[0]))
                    for collected, column in zip(table[1:], columns, strict=True):
                        collected.extend(column)
        metrics, params, tags, models = (bool(table[0]) for table in tables)
        values: list[Any] = [_literal(column) for column in tables[0]] if metrics else []
        values += [column for table in tables[1:] if table[0] for column in table]
        written = await connection.fetchval(statement(metrics, params, tags, models), ids, *values)
        return [EMPTY if written[slot - 1] is not None else None for slot in slots]
