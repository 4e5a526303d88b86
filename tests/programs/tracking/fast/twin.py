"""The fast lane's writes and MLflow's own handlers side by side, each on a database of its own."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

import orjson
import psycopg2

from homeport.tracking.fast.database import Database
from homeport.tracking.fast.writes.table import Writes
from homeport.tracking.front.call import Answer, Call

Body = dict[str, Any]

ENVIRON = {"_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/"}

# What must be the same after the same calls; made ids are left out or told by what they stand for.
_ROWS = {
    "runs": """select run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, end_time,
        deleted_time is null, source_version, lifecycle_stage, artifact_uri, experiment_id from runs""",
    "metrics": "select run_uuid, key, value, timestamp, step, is_nan from metrics",
    "latest_metrics": "select run_uuid, key, value, timestamp, step, is_nan from latest_metrics",
    "params": "select run_uuid, key, value from params",
    "tags": "select run_uuid, key, value from tags",
    "experiments": """select experiment_id, name, workspace, artifact_location, lifecycle_stage,
        creation_time = last_update_time, abs(extract(epoch from now()) * 1000 - creation_time) < 600000
        from experiments""",
    "experiment_tags": "select experiment_id, key, value from experiment_tags",
    "datasets": """select experiment_id, name, digest, dataset_source_type, dataset_source, dataset_schema,
        dataset_profile, length(dataset_uuid) from datasets""",
    "inputs": """select i.source_type, coalesce(d.name || d.digest, i.source_id), i.destination_type, i.destination_id,
        i.step, length(i.input_uuid) from inputs i left join datasets d on d.dataset_uuid = i.source_id""",
    "input_tags": """select coalesce(d.name, '') , i.destination_id, t.name, t.value from input_tags t
        join inputs i using (input_uuid) left join datasets d on d.dataset_uuid = i.source_id""",
    "logged_model_metrics": """select l.name, m.metric_name, m.metric_timestamp_ms, m.metric_step, m.metric_value,
        m.experiment_id, m.run_id, m.dataset_uuid, m.dataset_name, m.dataset_digest
        from logged_model_metrics m join logged_models l using (model_id)""",
    "assessments": "select count(*) from assessments",
}


def call(body: Body | bytes, *headers: tuple[bytes, bytes]) -> Call:
    """A POST as a client sends it."""
    sent = body if isinstance(body, bytes) else orjson.dumps(body)
    ordinary = ((b"host", b"localhost"), (b"content-length", b"%d" % len(sent)))
    return Call("POST", "/", b"", (*ordinary, *(headers or ((b"content-type", b"application/json"),))), sent)


class Ours:
    """The fast lane's writes on one database."""

    def __init__(self, writes: Writes, database: Database) -> None:
        self.writes = writes
        self.database = database
        self._handlers = {route.paths[0].removeprefix("/api/2.0/mlflow/"): route.handle for route in writes.routes()}

    async def post(self, path: str, body: Body | bytes) -> Answer | None:
        return await self._handlers[path](call(body))


@contextlib.asynccontextmanager
async def ours(uri: str, environ: Mapping[str, str] = ENVIRON) -> AsyncIterator[Ours]:
    """The writes, opened and closed."""
    database = Database(uri)
    await database.open()
    writes = Writes(database, environ)
    try:
        yield Ours(writes, database)
    finally:
        await writes.close()
        await database.close()


def ask(uri: str, statement: str) -> list[tuple[Any, ...]]:
    """The rows of one statement, asked outside of both."""
    return ask_all(uri, [statement])[0]


def ask_all(uri: str, statements: Iterable[str]) -> list[list[tuple[Any, ...]]]:
    """The rows of each statement."""
    found = []
    with contextlib.closing(psycopg2.connect(uri.replace("+psycopg2", ""))) as connection:
        connection.autocommit = True
        with contextlib.closing(connection.cursor()) as cursor:
            for statement in statements:
                cursor.execute(statement)
                found.append(list(cursor.fetchall()) if cursor.description else [])
    return found


class Twin:
    """Both, and the runs that stand for each other.

    Args:
        uris: our database and MLflow's.
        stock: posts to MLflow's own handlers: path and body -> status and JSON.
    """

    def __init__(self, uris: tuple[str, str], stock: Callable[[str, bytes], tuple[int, Any]]) -> None:
        self.uris = uris
        self.stock = stock
        self.runs: dict[str, tuple[str, str]] = {}
        self._numbers = itertools.count(1)

    async def run(self, lane: Ours, experiment: str = "0", **more: Any) -> str:
        """A run on both sides; its label stands for its id in bodies."""
        label = f"run{next(self._numbers)}"
        body = {"experiment_id": experiment, "start_time": 5, "run_name": label, **more}
        mine = await lane.post("runs/create", body)
        assert mine is not None
        status, theirs = self.stock("runs/create", orjson.dumps(body))
        assert status == 200
        created = orjson.loads(mine.body)
        self.runs[label] = (created["run"]["info"]["run_id"], theirs["run"]["info"]["run_id"])
        assert self._told(created, 0) == self._told(theirs, 1)
        return label

    async def same(self, lane: Ours, path: str, body: Body) -> bool:
        """Whether it was answered; if it was, MLflow must answer the same, and if not, it must not be written."""
        before = None if path in {"runs/create"} else self.rows(0)
        mine = await lane.post(path, self._body(body, 0))
        if mine is None:
            assert before is None or self.rows(0) == before
            return False
        status, theirs = self.stock(path, self._body(body, 1))
        assert (mine.status, self._told(orjson.loads(mine.body), 0)) == (status, self._told(theirs, 1)), (path, body)
        return True

    async def refused(self, lane: Ours, path: str, body: Body) -> None:
        """Left to MLflow by us, and refused by it."""
        assert not await self.same(lane, path, body), (path, body)
        status, _ = self.stock(path, self._body(body, 1))
        assert status >= 400, (path, body)

    def rows(self, side: int) -> dict[str, list[str]]:
        """All rows, runs told by their labels."""
        return {
            table: sorted(self._labelled(json.dumps(row), side) for row in rows)
            for table, rows in zip(_ROWS, ask_all(self.uris[side], _ROWS.values()), strict=True)
        }

    def assert_same_rows(self) -> None:
        mine, theirs = self.rows(0), self.rows(1)
        for table in _ROWS:
            assert mine[table] == theirs[table], (table, set(mine[table]) ^ set(theirs[table]))

    def _labelled(self, text: str, side: int) -> str:
        for label, ids in self.runs.items():
            text = text.replace(ids[side], label)
        return text

    def _body(self, body: Body, side: int) -> bytes:
        text = orjson.dumps(body).decode()
        for label, ids in self.runs.items():
            text = text.replace(f'"{label}"', f'"{ids[side]}"')
        return text.encode()

    def _told(self, answer: Any, side: int) -> Any:
        found = json.loads(self._labelled(json.dumps(answer), side))
        run = found.get("run") if isinstance(found, dict) else None
        if run:
            run["data"]["tags"].sort(key=lambda tag: tag["key"])
        return found
