"""How logged models are made and finalised, and get params and tags: many in one statement each.

Mirrors store/tracking/sqlalchemy_store.py of mlflow 3.17.2, which looks at an experiment's lifecycle stage only where a
model is made, and at a model's own nowhere. Refuses to know HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import orjson

from homeport.tracking.fast.database import Connection, Row
from homeport.tracking.fast.reads.model import BAD_METRIC, COLUMNS, PARTS, STATUSES, written
from homeport.tracking.fast.writes.group import Item, one_of_a_run
from homeport.tracking.fast.writes.statements import PLAIN_LOCATION, appended
from homeport.tracking.front.call import EMPTY, Answer

PENDING = 1
_LONGEST_URI = 1000

Pairs = dict[str, str]


class MadeModel(NamedTuple):
    """A model to be made."""

    model: str
    experiment: int
    name: str
    at: int  # ms
    kind: str
    run: str
    params: Pairs
    tags: Pairs


_PLACE = appended("e.artifact_location", "'models/' || g.id || '/artifacts'")
_CREATE = f"""with made as (
  insert into logged_models (model_id, experiment_id, name, artifact_location, creation_timestamp_ms,
    last_updated_timestamp_ms, status, lifecycle_stage, model_type, source_run_id)
  select g.id, g.experiment, g.name, l.uri, g.at, g.at, {PENDING}, 'active', g.kind, g.run
  from unnest($1::text[], $2::int4[], $3::text[], $4::int8[], $5::text[], $6::text[])
    as g(id, experiment, name, at, kind, run)
  join experiments e on e.experiment_id = g.experiment and e.lifecycle_stage = 'active',
  lateral (select {_PLACE} as uri) as l
  where e.artifact_location ~ '{PLAIN_LOCATION}' and length(l.uri) <= {_LONGEST_URI}
  order by g.experiment
  returning model_id, experiment_id, artifact_location
), params as (
  insert into logged_model_params (model_id, experiment_id, param_key, param_value)
  select made.model_id, made.experiment_id, p.key, p.value
  from unnest($7::text[], $8::text[], $9::text[]) with ordinality as p(id, key, value, nth)
  join made on made.model_id = p.id order by p.nth
), tags as (
  insert into logged_model_tags (model_id, experiment_id, tag_key, tag_value)
  select made.model_id, made.experiment_id, t.key, t.value
  from unnest($10::text[], $11::text[], $12::text[]) with ordinality as t(id, key, value, nth)
  join made on made.model_id = t.id order by t.nth
) select model_id, artifact_location from made"""  # noqa: S608 - constants only


def _columns(pairs: Sequence[tuple[str, Pairs]]) -> list[Sequence[str]]:
    """Ids, keys and values of the pairs of models."""
    rows = [(model, key, value) for model, each in pairs for key, value in each.items()]
    return list(zip(*rows, strict=True)) if rows else [(), (), ()]


class ModelCreated:
    """The kind of item whose data is `MadeModel`."""

    name = "create-logged-model"

    def admission(self) -> Callable[[Item], bool] | None:
        """Any may join any."""
        return None

    async def write(self, connection: Connection, items: Sequence[Item], again: bool) -> list[Answer | None]:
        """Write them; those that are there already were written by an earlier attempt."""
        places: dict[str, str] = {}
        if again:
            statement = "select model_id, artifact_location from logged_models where model_id = any($1::text[])"
            places.update(await connection.fetch(statement, [item.run for item in items]))
        new: list[MadeModel] = [item.data for item in items if item.run not in places]
        if new:
            places.update(
                await connection.fetch(
                    _CREATE,
                    *zip(*(made[:6] for made in new), strict=True),
                    *_columns([(made.model, made.params) for made in new]),
                    *_columns([(made.model, made.tags) for made in new]),
                )
            )
        return [_created(item.data, places.get(item.run)) for item in items]


def _created(made: MadeModel, place: str | None) -> Answer | None:
    if place is None:
        return None
    info = {
        "model_id": made.model,
        "experiment_id": str(made.experiment),
        "name": made.name,
        "creation_timestamp_ms": made.at,
        "last_updated_timestamp_ms": made.at,
        "artifact_uri": place,
        "status": STATUSES[PENDING],
        "model_type": made.kind,
        "source_run_id": made.run,
    }
    data = {}
    if made.tags:
        info["tags"] = _told(made.tags)
    if made.params:
        data["params"] = _told(made.params)
    return Answer(orjson.dumps({"model": {"info": info, "data": data}}))


def _told(pairs: Pairs) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in pairs.items()]


# A param that is there already is an error, also with the same value: left to MLflow.
_PARAMS = """with given as materialized (
  select * from unnest($2::text[], $3::text[], $4::text[]) with ordinality as p(id, key, value, nth)
), model as materialized (
  select m.model_id, m.experiment_id from logged_models m join unnest($1::text[]) as a(id) on a.id = m.model_id
  where not exists (
    select from given p join logged_model_params e on e.model_id = p.id and e.param_key = p.key
    where p.id = m.model_id)
), wrote as (
  insert into logged_model_params (model_id, experiment_id, param_key, param_value)
  select model.model_id, model.experiment_id, p.key, p.value from given p join model on model.model_id = p.id
  order by p.id, p.nth
) select model_id from model"""
_PARAMS_THERE = """select p.id from unnest($1::text[], $2::text[], $3::text[]) as p(id, key, value)
left join logged_model_params e on e.model_id = p.id and e.param_key = p.key
group by p.id having bool_and(e.param_value is not distinct from p.value)"""


class ModelParams:
    """The kind of item whose data are a model's new params."""

    name = "log-logged-model-params"

    def admission(self) -> Callable[[Item], bool]:
        """Each model once."""
        return one_of_a_run()

    async def write(self, connection: Connection, items: Sequence[Item], again: bool) -> list[Answer | None]:
        """Write them; where an earlier attempt may have, params that are there just so were written by it."""
        done: set[str] = set()
        if again:
            rows = await connection.fetch(_PARAMS_THERE, *_columns([(item.run, item.data) for item in items]))
            done.update(row[0] for row in rows)
        new = [item for item in items if item.run not in done]
        if new:
            columns = _columns([(item.run, item.data) for item in new])
            done.update(row[0] for row in await connection.fetch(_PARAMS, [item.run for item in new], *columns))
        return [EMPTY if item.run in done else None for item in items]


_TAGS = """with model as materialized (
  select m.model_id, m.experiment_id from logged_models m join unnest($1::text[]) as a(id) on a.id = m.model_id
), wrote as (
  insert into logged_model_tags (model_id, experiment_id, tag_key, tag_value)
  select model.model_id, model.experiment_id, t.key, t.value
  from unnest($2::text[], $3::text[], $4::text[]) as t(id, key, value) join model on model.model_id = t.id
  order by 1, 3
  on conflict (model_id, tag_key)
  do update set experiment_id = excluded.experiment_id, tag_value = excluded.tag_value
) select model_id from model"""


class ModelTagged:
    """The kind of item whose data are a model's tags."""

    name = "set-logged-model-tags"

    def admission(self) -> Callable[[Item], bool]:
        """Each model once."""
        return one_of_a_run()

    async def write(self, connection: Connection, items: Sequence[Item], again: bool) -> list[Answer | None]:
        """Write them; all of it may be written twice without harm."""
        columns = _columns([(item.run, item.data) for item in items])
        done = {row[0] for row in await connection.fetch(_TAGS, [item.run for item in items], *columns)}
        return [EMPTY if item.run in done else None for item in items]


# A model with metrics that upstream cannot tell is left to it: it fails after it has written.
_FINALIZE = f"""with given as materialized (
  select * from unnest($1::text[], $2::int4[], $3::int8[]) as g(id, status, at)
), model as materialized (
  select l.model_id from logged_models l join given g on g.id = l.model_id
  where not exists (select from logged_model_metrics e where e.model_id = l.model_id and {BAD_METRIC})
  order by l.model_id for no key update of l
), m as (
  update logged_models l set status = g.status, last_updated_timestamp_ms = g.at
  from given g join model on model.model_id = g.id where l.model_id = g.id returning l.*
) {COLUMNS} from m {PARTS}"""  # noqa: S608 - constants only


class ModelFinalized:
    """The kind of item whose data are a model's new status, and when it got it."""

    name = "finalize-logged-model"

    def admission(self) -> Callable[[Item], bool]:
        """Each model once."""
        return one_of_a_run()

    async def write(self, connection: Connection, items: Sequence[Item], again: bool) -> list[Answer | None]:
        """Write them; all of it may be written twice without harm."""
        given = [(item.run, *item.data) for item in items]
        rows = {row["model_id"]: row for row in await connection.fetch(_FINALIZE, *zip(*given, strict=True))}
        return [_finalized(rows, item.run) for item in items]


def _finalized(rows: dict[str, Row], model: str) -> Answer | None:
    row = rows.get(model)
    return None if row is None else Answer(b'{"model":' + written(row) + b"}")
