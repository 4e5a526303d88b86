"""How runs are made, changed, deleted and restored, and tags removed: many in one statement each.

Rows are locked in the order of the run's id. Mirrors store/tracking/sqlalchemy_store.py of mlflow 3.17.2. Refuses to
know HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import orjson

from homeport.tracking.fast.database import Connection
from homeport.tracking.fast.writes.group import Item, one_of_a_run
from homeport.tracking.front.call import EMPTY, Answer

_LONGEST_URI = 200

# Locations to which upstream's `append_to_uri_path` surely adds with a slash between and nothing else: no query, no
# fragment, no `..`, nothing that is written anew.
PLAIN_LOCATION = r"^(mlflow-artifacts:/|s3://[a-z0-9][a-z0-9.-]*(/|$)|/)([A-Za-z0-9_-][A-Za-z0-9._-]*(/|$))*$"


def appended(location: str, path: str) -> str:
    """SQL for a path below a location, both SQL."""
    return f"({location} || case when right({location}, 1) = '/' then '' else '/' end || {path})"


class Made(NamedTuple):
    """A run to be made."""

    run: str
    experiment: int
    user: str
    name: str
    start: int
    tags: dict[str, str]


_CREATE = f"""with made as (
  insert into runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time,
    source_version, lifecycle_stage, artifact_uri, experiment_id)
  select g.id, g.name, 'UNKNOWN', '', '', g.user_id, 'RUNNING', g.start, '', 'active', l.uri, g.experiment
  from unnest($1::text[], $2::int4[], $3::text[], $4::text[], $5::int8[]) as g(id, experiment, user_id, name, start)
  join experiments e on e.experiment_id = g.experiment and e.lifecycle_stage = 'active',
  lateral (select {appended("e.artifact_location", "g.id || '/artifacts'")} as uri) as l
  where e.artifact_location ~ '{PLAIN_LOCATION}' and length(l.uri) <= {_LONGEST_URI}
  order by g.experiment
  returning run_uuid, artifact_uri
), tagged as (
  insert into tags (run_uuid, key, value)
  select made.run_uuid, t.key, t.value from unnest($6::text[], $7::text[], $8::text[]) as t(id, key, value)
  join made on made.run_uuid = t.id order by 1, 2
) select run_uuid, artifact_uri from made"""  # noqa: S608 - constants only


class Created:
    """The kind of item whose data is `Made`."""

    name = "create-run"

    def admission(self) -> Callable[[Item], bool] | None:
        """Any may join any."""
        return None

    async def write(self, connection: Connection, items: Sequence[Item], again: bool) -> list[Answer | None]:
        """Write them; those that are there already were written by an earlier attempt."""
        uris: dict[str, str] = {}
        if again:
            statement = "select run_uuid, artifact_uri from runs where run_uuid = any($1::text[])"
            uris.update(await connection.fetch(statement, [item.run for item in items]))
        new: list[Made] = [item.data for item in items if item.run not in uris]
        if new:
            tags = [(made.run, key, value) for made in new for key, value in made.tags.items()]
            rows = await connection.fetch(
                _CREATE, *zip(*(made[:5] for made in new), strict=True), *zip(*tags, strict=True)
            )
            uris.update(rows)
        return [_created(item.data, uris.get(item.run)) for item in items]


def _created(made: Made, uri: str | None) -> Answer | None:
    if uri is None:
        return None
    info = {
        "run_id": made.run,
        "run_uuid": made.run,
        "run_name": made.name,
        "experiment_id": str(made.experiment),
        "user_id": made.user,
        "status": "RUNNING",
        "start_time": made.start,
        "artifact_uri": uri,
        "lifecycle_stage": "active",
    }
    data = {"tags": [{"key": key, "value": value} for key, value in made.tags.items()]}
    return Answer(orjson.dumps({"run": {"info": info, "data": data, "inputs": {}}}))


class Change(NamedTuple):
    """What becomes of a run; `None` leaves it as it is."""

    status: str | None
    end: int | None
    name: str | None
    tell: bool  # answer with the run's info


# A run without a name takes it from its tag, and one without a user or a start makes MLflow fail: left to MLflow.
_CHANGE = """with given as materialized (
  select * from unnest($1::text[], $2::text[], $3::int8[], $4::text[]) as g(id, status, ended, name)
), run as materialized (
  select r.run_uuid from runs r join given g on g.id = r.run_uuid
  where r.lifecycle_stage = 'active' and coalesce(g.name, r.name, '') <> '' and r.user_id is not null
    and r.start_time is not null and coalesce(g.status, r.status) is not null and r.experiment_id is not null
  order by r.run_uuid for no key update of r
), changed as (
  update runs r set status = coalesce(g.status, r.status), end_time = coalesce(g.ended, r.end_time),
    name = coalesce(g.name, r.name)
  from given g join run on run.run_uuid = g.id where r.run_uuid = g.id
  returning r.run_uuid, r.name, r.experiment_id, r.user_id, r.status, r.start_time, r.end_time, r.artifact_uri,
    r.lifecycle_stage
), tagged as (
  insert into tags (run_uuid, key, value)
  select c.run_uuid, 'mlflow.runName', g.name from given g join changed c on c.run_uuid = g.id
  where g.name is not null order by 1
  on conflict (key, run_uuid) do update set value = excluded.value
) select * from changed"""


class Changed:
    """The kind of item whose data is `Change`."""

    name = "update-run"

    def admission(self) -> Callable[[Item], bool]:
        """Each run once."""
        return one_of_a_run()

    async def write(self, connection: Connection, items: Sequence[Item], again: bool) -> list[Answer | None]:
        """Write them; all of it may be written twice without harm."""
        given = [(item.run, *item.data[:3]) for item in items]
        rows = {row["run_uuid"]: row for row in await connection.fetch(_CHANGE, *zip(*given, strict=True))}
        return [_changed(rows.get(item.run), item.data.tell) for item in items]


def _changed(row: Any, tell: bool) -> Answer | None:  # noqa: ANN401 - asyncpg's
    if row is None:
        return None
    if not tell:
        return EMPTY
    info = {
        "run_id": row["run_uuid"],
        "run_uuid": row["run_uuid"],
        "run_name": row["name"],
        "experiment_id": str(row["experiment_id"]),
        "user_id": row["user_id"],
        "status": row["status"],
        "start_time": row["start_time"],
        "lifecycle_stage": row["lifecycle_stage"],
    }
    if row["end_time"]:
        info["end_time"] = row["end_time"]
    if row["artifact_uri"]:
        info["artifact_uri"] = row["artifact_uri"]
    return Answer(orjson.dumps({"run_info": info}))


# MLflow deletes a deleted run's assessments as well; a run that has some is left to it.
_DELETE = """with run as materialized (
  select run_uuid from runs r join unnest($1::text[]) as g(id) on g.id = r.run_uuid
  where $3::text = 'active' or not exists (
    select from assessments a
    where position('"mlflow.assessment.sourceRunId": "' || r.run_uuid || '"' in a.assessment_metadata) > 0)
  order by r.run_uuid for no key update of r
) update runs r set lifecycle_stage = $3::text, deleted_time = g.at
from unnest($1::text[], $2::int8[]) as g(id, at) join run on run.run_uuid = g.id where r.run_uuid = g.id
returning r.run_uuid"""


class Deleted:
    """The kind of item whose data is when the run was deleted, or None where it is restored.

    Args:
        stage: what becomes of the run.
    """

    def __init__(self, stage: str) -> None:
        self.name = "restore-run" if stage == "active" else "delete-run"
        self._stage = stage

    def admission(self) -> Callable[[Item], bool]:
        """Each run once."""
        return one_of_a_run()

    async def write(self, connection: Connection, items: Sequence[Item], again: bool) -> list[Answer | None]:
        """Write them; all of it may be written twice without harm."""
        given = [(item.run, item.data) for item in items]
        rows = await connection.fetch(_DELETE, *zip(*given, strict=True), self._stage)
        done = {row[0] for row in rows}
        return [EMPTY if item.run in done else None for item in items]


_REMOVE = """with tag as materialized (
  select t.run_uuid, t.key from unnest($1::text[], $2::text[]) as g(id, key)
  join tags t on t.run_uuid = g.id and t.key = g.key
  join runs r on r.run_uuid = g.id and r.lifecycle_stage = 'active'
  order by 1, 2 for update of t
) delete from tags t using tag where t.run_uuid = tag.run_uuid and t.key = tag.key returning t.run_uuid"""


class Removed:
    """The kind of item whose data is a tag's key: that tag is deleted."""

    name = "delete-tag"

    def admission(self) -> Callable[[Item], bool]:
        """Each run once."""
        return one_of_a_run()

    async def write(self, connection: Connection, items: Sequence[Item], again: bool) -> list[Answer | None]:
        """Write them; a tag that an earlier attempt may have deleted is one that is not there, on an active run."""
        rows = await connection.fetch(_REMOVE, *zip(*((item.run, item.data) for item in items), strict=True))
        done = {row[0] for row in rows}
        if again:
            statement = "select run_uuid from runs where run_uuid = any($1::text[]) and lifecycle_stage = 'active'"
            done |= {row[0] for row in await connection.fetch(statement, [item.run for item in items])}
        return [EMPTY if item.run in done else None for item in items]
