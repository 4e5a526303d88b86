"""One database with runs of all kinds, read by the fast lane and by MLflow's own handlers, both in this process."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.programs.database.programs import Program
from tests.programs.database.server import Server
from tests.programs.tracking.conftest import uri
from tests.programs.tracking.reads.both import Both
from tests.programs.tracking.reads.filling import Filled, fill
from tests.programs.tracking.reads.shelf import stock


@pytest.fixture(scope="session")
def both(postgres: Server, raced: list[Program], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """The fast lane's reads and MLflow, on one database."""
    assert {job.process.returncode for job in raced} == {0}
    postgres.ask("CREATE DATABASE reads TEMPLATE mlflow", database="postgres")
    room: Path = tmp_path_factory.mktemp("reads")
    sides = Both(uri(postgres, "reads"), str(room))
    try:
        yield sides
    finally:
        sides.close()
        shutil.rmtree(room, ignore_errors=True)


@pytest.fixture(scope="session")
def filled(both: Both) -> Filled:
    """What is in the database."""
    return fill(both.store, both.registry)


@pytest.fixture(scope="session")
def shelf(both: Both, filled: Filled, postgres: Server) -> None:
    """Registered models of all kinds, some of them touched in the same moment."""
    stock(both.registry)
    for table in ("registered_models", "model_versions"):
        postgres.ask(f"UPDATE {table} SET last_updated_time = 1700000000000 + length(name) % 3", database="reads")


@pytest.fixture
def ask(postgres: Server) -> Any:
    """Runs a statement in the database, for rows that MLflow would not write."""
    return lambda statement: postgres.ask(statement, database="reads")
