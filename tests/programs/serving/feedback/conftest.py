"""One PostgreSQL for all tests here, and a prediction log of its own for each."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from homeport.serving.feedback import schema
from homeport.serving.feedback.database import parse_uri
from tests.programs.database.conftest import copy, make_room
from tests.programs.database.programs import Program
from tests.programs.database.server import Server, serving
from tests.programs.serving.feedback.tables import admin_uri

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Path]:
    """The data directory of a database that was made and stopped."""
    room = make_room()
    server = Server(room / "data", room)
    try:
        server.start().stop()
        yield server.data
    finally:
        server.end()
        shutil.rmtree(room)


@pytest.fixture(scope="session")
def postgres(cluster: Path) -> Iterator[Server]:
    """A running PostgreSQL."""
    room = make_room()
    try:
        copy(cluster, room / "data")
        with serving(room / "data", room) as server:
            yield server
    finally:
        shutil.rmtree(room)


@pytest.fixture
def own(cluster: Path) -> Iterator[Server]:
    """A running PostgreSQL of the test's own, to be killed or changed."""
    room = make_room()
    copy(cluster, room / "data")
    with serving(room / "data", room) as server:
        yield server
    shutil.rmtree(room)


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
