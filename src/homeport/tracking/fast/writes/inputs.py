"""runs/log-inputs and runs/outputs: the datasets and models that a run read and made.

What MLflow would refuse, and what is rare, is left to MLflow (mlflow 3.17.2: store/tracking/sqlalchemy_store.py
`_log_inputs_impl`, `log_outputs`). Refuses to know how requests are queued.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from homeport.tracking.fast.database import Connection
from homeport.tracking.fast.writes.body import LONGEST_RUN_ID, body, integer, is_id, is_text
from homeport.tracking.fast.writes.group import Groups, Item
from homeport.tracking.front.call import EMPTY, Answer, Call

_MOST = 1000
# Upstream's limits, and where they are wider than the columns, the columns'.
_DATASET = {"name": 500, "digest": 36, "source_type": 36, "source": 65535, "schema": 1048575, "profile": 16777215}
_REQUIRED = ("name", "digest", "source_type", "source")
_LONGEST_TAG_NAME = 255
_LONGEST_TAG_VALUE = 500
_LONGEST_MODEL_ID = 36

Row = tuple[Any, ...]


class Read(NamedTuple):
    """What a run read. Ids of new rows are made before the first attempt, so that a second finds them."""

    datasets: list[Row]  # position, dataset id, input id, name, digest, source type, source, schema, profile
    tags: list[Row]  # input id, name, value
    models: list[Row]  # input id, model id


_INPUTS = """with run as materialized (
  select run_uuid, experiment_id from runs where run_uuid = $1 and lifecycle_stage = 'active'
), given as materialized (
  select * from unnest($2::int4[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::text[]) as g(nth, dataset_uuid, input_uuid, name, digest, source_type, source, schema, profile)
), old as materialized (
  select g.nth, d.dataset_uuid from given g, run, datasets d
  where d.experiment_id = run.experiment_id and d.name = g.name and d.digest = g.digest
), new as (
  insert into datasets (dataset_uuid, experiment_id, name, digest, dataset_source_type, dataset_source,
    dataset_schema, dataset_profile)
  select g.dataset_uuid, run.experiment_id, g.name, g.digest, g.source_type, g.source, g.schema, g.profile
  from given g, run where not exists (select from old where old.nth = g.nth) order by g.name, g.digest
), edge as (
  insert into inputs (input_uuid, source_type, source_id, destination_type, destination_id)
  select g.input_uuid, 'DATASET', coalesce(old.dataset_uuid, g.dataset_uuid), 'RUN', run.run_uuid
  from given g left join old using (nth), run
  where not exists (
    select from inputs i where i.source_type = 'DATASET' and i.source_id = coalesce(old.dataset_uuid, g.dataset_uuid)
      and i.destination_type = 'RUN' and i.destination_id = run.run_uuid)
  order by 3 returning input_uuid
), tagged as (
  insert into input_tags (input_uuid, name, value)
  select t.input_uuid, t.name, t.value from unnest($11::text[], $12::text[], $13::text[]) as t(input_uuid, name, value)
  join edge using (input_uuid) order by 1, 2
), model as (
  insert into inputs (input_uuid, source_type, source_id, destination_type, destination_id)
  select m.input_uuid, 'RUN_INPUT', run.run_uuid, 'MODEL_INPUT', m.model_id
  from run, unnest($14::text[], $15::text[]) as m(input_uuid, model_id) order by 5
  on conflict (source_type, source_id, destination_type, destination_id)
  do update set input_uuid = excluded.input_uuid
) select run_uuid from run"""

_OUTPUTS = """with run as materialized (
  select run_uuid from runs where run_uuid = $1 and lifecycle_stage = 'active'
), model as (
  insert into inputs (input_uuid, source_type, source_id, destination_type, destination_id, step)
  select m.input_uuid, 'RUN_OUTPUT', run.run_uuid, 'MODEL_OUTPUT', m.model_id, m.step
  from run, unnest($2::text[], $3::text[], $4::int8[]) as m(input_uuid, model_id, step) order by 5
) select run_uuid from run"""


def _columns(rows: Sequence[Row], width: int) -> list[Sequence[Any]]:
    return list(zip(*rows, strict=True)) if rows else [()] * width


class _Alone:
    """Groups of one: these calls are rare, and their rows many."""

    def admission(self) -> Callable[[Item], bool]:
        """The first only."""
        turns = iter((True,))
        return lambda _: next(turns, False)


class _Inputs(_Alone):
    name = "log-inputs"

    async def write(self, connection: Connection, items: Sequence[Item], again: bool) -> list[Answer | None]:
        """Write it; what is there already is left as it is, as upstream does."""
        run, read = items[0].run, items[0].data
        columns = _columns(read.datasets, 9) + _columns(read.tags, 3) + _columns(read.models, 2)
        return [EMPTY if await connection.fetchval(_INPUTS, run, *columns) is not None else None]


class _Outputs(_Alone):
    name = "log-outputs"

    async def write(self, connection: Connection, items: Sequence[Item], again: bool) -> list[Answer | None]:
        """Write it; a model that this run has put out already is an error, which is left to MLflow."""
        run, models = items[0].run, items[0].data
        if again and models:
            found = await connection.fetchval("select 1 from inputs where input_uuid = $1", models[0][0])
            if found is not None:
                return [EMPTY]
        return [EMPTY if await connection.fetchval(_OUTPUTS, run, *_columns(models, 3)) is not None else None]


_READ = _Inputs()
_MADE = _Outputs()


def _dataset(given: object) -> Row | None:
    """Name, digest, source type, source, schema and profile."""
    if type(given) is not dict or not given.keys() <= _DATASET.keys():
        return None
    found = tuple(given.get(key) for key in _DATASET)
    for (key, longest), value in zip(_DATASET.items(), found, strict=True):
        if not is_text(value, longest) and (value is not None or key in _REQUIRED):
            return None
    return found


def _model_ids(given: object, keys: frozenset[str]) -> list[dict[str, Any]] | None:
    if given is None:
        return []
    if type(given) is not list or len(given) > _MOST:
        return None
    for model in given:
        if type(model) is not dict or not model.keys() <= keys:
            return None
        model_id = model.get("model_id")
        if type(model_id) is not str or not is_id(model_id.removeprefix("m-"), _LONGEST_MODEL_ID - 2):
            return None
    return given if len({model["model_id"] for model in given}) == len(given) else None


def _tags(given: object) -> dict[str, str] | None:
    if given is None:
        return {}
    if type(given) is not list or len(given) > _MOST:
        return None
    tags: dict[str, str] = {}
    for tag in given:
        if type(tag) is not dict or not tag.keys() <= {"key", "value"}:
            return None
        key, value = tag.get("key"), tag.get("value")
        if not key or not is_text(key, _LONGEST_TAG_NAME) or not is_text(value, _LONGEST_TAG_VALUE):
            return None
        tags[key] = str(value)
    return tags if len(tags) == len(given) else None


def read_inputs(call: Call) -> tuple[str, Read] | None:
    """log-inputs' run, and what it read."""
    given = body(call)
    if given is None or not given.keys() <= {"run_id", "datasets", "models"}:
        return None
    run, datasets = given.get("run_id"), given.get("datasets")
    models = _model_ids(given.get("models"), frozenset({"model_id"}))
    if not is_id(run, LONGEST_RUN_ID) or models is None or (datasets is not None and type(datasets) is not list):
        return None
    read = Read([], [], [(uuid.uuid4().hex, model["model_id"]) for model in models])
    keys = set()
    for nth, entry in enumerate(datasets or ()):
        if nth >= _MOST or type(entry) is not dict or not entry.keys() <= {"dataset", "tags"}:
            return None
        dataset, tags = _dataset(entry.get("dataset")), _tags(entry.get("tags"))
        if dataset is None or tags is None:
            return None
        if dataset[:2] in keys:
            continue  # upstream keeps the first
        keys.add(dataset[:2])
        edge = uuid.uuid4().hex
        read.datasets.append((nth, uuid.uuid4().hex, edge, *dataset))
        read.tags.extend((edge, key, value) for key, value in tags.items())
    return str(run), read


def read_outputs(call: Call) -> tuple[str, list[Row]] | None:
    """The run of runs/outputs, and the input ids, model ids and steps of what it made."""
    given = body(call)
    if given is None or not given.keys() <= {"run_id", "models"} or given.get("models") is None:
        return None
    run, models = given.get("run_id"), _model_ids(given["models"], frozenset({"model_id", "step"}))
    if not is_id(run, LONGEST_RUN_ID) or models is None:
        return None
    rows = [(uuid.uuid4().hex, model["model_id"], integer(model.get("step", 0))) for model in models]
    return (str(run), rows) if all(row[2] is not None for row in rows) else None


class Inputs:
    """The calls.

    Args:
        groups: write them.
    """

    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    async def log_inputs(self, call: Call) -> Answer | None:
        """runs/log-inputs."""
        found = read_inputs(call)
        return await self._groups.write(_READ, *found, 1, len(call.body)) if found else None

    async def log_outputs(self, call: Call) -> Answer | None:
        """runs/outputs."""
        found = read_outputs(call)
        return await self._groups.write(_MADE, *found, 1, len(call.body)) if found else None
