"""One PostgreSQL for all tests here, and a prediction log of its own for each."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from homeport.serving.feedback import schema
from homeport.serving.feedback.database import parse_uri
from tests.programs.database.programs import Program
from tests.programs.database.rooms import made, served
from tests.programs.database.server import Server
from tests.programs.serving.feedback.tables import admin_uri

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Path]:
    """The data directory of a database that was made and stopped."""
    with made() as data:
        yield data


@pytest.fixture(scope="session")
def postgres(cluster: Path) -> Iterator[Server]:
    """A running PostgreSQL."""
    with served(cluster) as server:
        yield server


@pytest.fixture
def own(cluster: Path) -> Iterator[Server]:
    """A running PostgreSQL of the test's own, to be killed or changed."""
    with served(cluster) as server:
        yield server


@pytest.fixture(scope="session")
def template(postgres: Server) -> str:
    """The name of a database that has the log's tables."""
    postgres.ask("CREATE DATABASE log_template")
    database = parse_uri(admin_uri(postgres, "log_template"))
    with contextlib.closing(database.connect()) as connection:
        schema.bring_to_head(database, connection)
    return "log_template"


@pytest.fixture
def uri(postgres: Server, template: str) -> str:
    """The URI of an empty prediction log."""
    name = f"log_{next(_numbers)}"
    postgres.ask(f"CREATE DATABASE {name} TEMPLATE {template}")
    return admin_uri(postgres, name)


@pytest.fixture
def session(uri: str) -> Iterator[Any]:
    """A connection to it."""
    with contextlib.closing(parse_uri(uri).connect()) as connection:
        yield connection


@pytest.fixture
def migrate(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Starts the job with an environment."""
    jobs: list[Program] = []

    def start(**env: str) -> Program:
        env = {"HOMEPORT_DATABASE_TIMEOUT": "20"} | env
        jobs.append(Program("homeport.serving.feedback.migrate", env, tmp_path / "jobs"))
        return jobs[-1]

    yield start
    for job in jobs:
        job.end()
