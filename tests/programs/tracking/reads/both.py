"""The fast lane's reads beside MLflow's own Flask application, on one database: both are asked the same."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from homeport.tracking import planning
from homeport.tracking.fast.database import Database
from homeport.tracking.fast.reads.table import Reads
from homeport.tracking.front.call import Answer, Call, Table
from homeport.tracking.front.private import Private, Reply

JSON = ((b"content-type", b"application/json"),)
API = "/api/2.0/mlflow/"
AJAX = "/ajax-api/2.0/mlflow/"
# Rows that come without an order of their own.
_UNORDERED = {"params", "tags", "dataset_inputs", "model_inputs", "model_outputs", "aliases", "latest_versions"}


class Planner(Private):
    """The private server, for plans: asked without a socket, counted."""

    def __init__(self) -> None:
        super().__init__("/nowhere")
        self.asked = 0
        self.starting = False

    async def ask(self, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Reply:
        if self.starting:
            raise ConnectionRefusedError
        self.asked += 1
        assert target == "/homeport/internal/plan"
        return Reply(*planning.answer(body or b"", ()))


class Both:
    """Asks both.

    Args:
        uri: of a database with MLflow's schema.
        room: where artifacts would be.
    """

    def __init__(self, uri: str, room: str) -> None:
        os.environ.setdefault("MLFLOW_FLASK_SERVER_SECRET_KEY", "a static key")
        from mlflow.server import app, handlers
        from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        self.store: Any = SqlAlchemyStore(uri, room)
        self.registry: Any = Registry(uri)
        self._before = handlers._tracking_store, handlers._model_registry_store
        handlers._tracking_store, handlers._model_registry_store = self.store, self.registry
        self._handlers = handlers
        self._mlflow = app.test_client()
        self.planner = Planner()
        self.database = Database(uri)
        self.table = Table(Reads(self.database, self.planner, {}).routes())
        self._runner = asyncio.Runner()
        self._runner.run(self.database.open())

    def close(self) -> None:
        self._runner.run(self.database.close())
        self._runner.close()
        self._handlers._tracking_store, self._handlers._model_registry_store = self._before

    def fast(
        self, path: str, query: str = "", body: bytes | None = None, headers: Any = JSON, user: str = ""
    ) -> Answer | None:
        """What the fast lane says."""
        method = "GET" if body is None else "POST"
        found = self.table.find(method, path)
        assert found, f"{method} {path} is no hot call"
        call = Call(method, path, query.encode(), headers if body is not None else (), body or b"")
        call.user = user
        call.parts = found[1]
        answer: Answer | None = self._runner.run(_awaited(found[0].handle(call)))
        return answer

    def rows(self, statement: str, *values: object) -> Any:
        """What the database says, to the fast lane's driver."""
        return self._runner.run(_awaited(self.database.rows(statement, *values)))

    def run(self, statement: str, *values: object) -> None:
        """Write what MLflow would not."""
        self.rows(statement, *values)

    def stock(self, path: str, query: str = "", body: bytes | None = None) -> tuple[int, Any]:
        """What MLflow says: status and JSON."""
        target = path + ("?" + query if query else "")
        if body is None:
            response = self._mlflow.get(target)
        else:
            response = self._mlflow.post(target, data=body, content_type="application/json")
        return response.status_code, json.loads(response.data)

    def same(self, path: str, query: str = "", body: bytes | None = None) -> Any:
        """The answer, which both give alike."""
        status, wanted = self.stock(path, query, body)
        answer = self.fast(path, query, body)
        assert status == 200, wanted
        assert answer is not None, f"left to MLflow, which says {wanted}"
        assert answer.status == 200
        assert answer.kind == b"application/json"
        assert ordered(json.loads(answer.body)) == ordered(wanted)
        return wanted

    def get(self, path: str, /, **arguments: object) -> Any:
        """`same` for the arguments of a query."""
        return self.same(path, urlencode(arguments, doseq=True))

    def post(self, path: str, /, **fields: object) -> Any:
        """`same` for the fields of a body."""
        return self.same(path, body=json.dumps(fields).encode())

    def left(self, path: str, query: str = "", body: bytes | None = None, headers: Any = JSON) -> None:
        """The fast lane leaves it to MLflow."""
        assert self.fast(path, query, body, headers) is None


async def _awaited(answer: Any) -> Any:
    return await answer


def ordered(value: Any, name: str = "") -> Any:
    """JSON to compare: as text, so that 1 is not 1.0 and NaN equals itself; what has no order is sorted."""
    return json.dumps(_sorted(value, name, ""), sort_keys=True)


def _sorted(value: Any, name: str, above: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _sorted(item, key, name) for key, item in value.items()}
    if isinstance(value, list):
        items: Iterable[Any] = [_sorted(item, "", name) for item in value]
        if name in _UNORDERED or (name == "metrics" and above == "data"):
            items = sorted(items, key=lambda item: json.dumps(item, sort_keys=True))
        return list(items)
    return value
