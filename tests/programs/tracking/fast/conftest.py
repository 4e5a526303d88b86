"""Databases in pairs, and MLflow's own handlers in this process on one of each."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.programs.database.programs import Program
from tests.programs.database.server import Server
from tests.programs.tracking.conftest import uri
from tests.programs.tracking.fast.twin import Twin

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def made(postgres: Server, raced: list[Program]) -> Callable[[], str]:
    """Makes databases with MLflow's schema and its experiment 0."""
    assert {job.process.returncode for job in raced} == {0}

    def make() -> str:
        name = f"fast_{next(_numbers)}"
        postgres.ask(f"CREATE DATABASE {name} TEMPLATE mlflow", database="postgres")
        return uri(postgres, name)

    return make


@pytest.fixture
def twin(made: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Twin]:
    """The fast lane and MLflow, nothing written yet."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.server import app, handlers
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    first, second = made(), made()
    # The default experiment is made by the store, not by the migration.
    for each in (first, second):
        store = SqlAlchemyStore(each, "mlflow-artifacts:/")
        if each == first:
            store._dispose_engine()
    monkeypatch.setattr(handlers, "_tracking_store", store)
    client = app.test_client()

    def post(path: str, body: bytes) -> tuple[int, Any]:
        answer = client.post(f"/api/2.0/mlflow/{path}", data=body, content_type="application/json")
        return answer.status_code, answer.get_json(force=True)

    yield Twin((first, second), post)
    store._dispose_engine()
