"""One PostgreSQL for all tests here, a database of its own for each, and MLflow's schema made once."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.programs.database.programs import Program
from tests.programs.database.rooms import make_room
from tests.programs.database.server import PASSWORD, Server, serving
from tests.programs.tracking.guarded import Guarded

_numbers = itertools.count(1)


def uri(server: Server, database: str, *, password: str = PASSWORD, driver: str = "psycopg2") -> str:
    return f"postgresql+{driver}://mlflow:{quote(password, safe='')}@127.0.0.1:{server.port}/{database}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A running PostgreSQL; its cluster may be copied only while it is stopped."""
    room = make_room()
    try:
        with serving(room / "data", room) as server:
            yield server
    finally:
        shutil.rmtree(room)


@pytest.fixture
def empty(postgres: Server) -> str:
    """The URI of a database without tables."""
    name = f"empty_{next(_numbers)}"
    postgres.ask(f"CREATE DATABASE {name}")
    return uri(postgres, name)


@pytest.fixture(scope="session")
def raced(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> list[Program]:
    """Eight migrations that were started at once on an empty database, all ended."""
    room = tmp_path_factory.mktemp("raced")
    env = {"MLFLOW_BACKEND_STORE_URI": uri(postgres, "mlflow")}
    jobs = [Program("homeport.tracking.migrate", env, room / str(number)) for number in range(8)]
    for job in jobs:
        job.process.wait(120)
    return jobs


@pytest.fixture
def at_head(postgres: Server, raced: list[Program]) -> str:
    """The URI of a database of its own with MLflow's schema."""
    assert {job.process.returncode for job in raced} == {0}
    name = f"head_{next(_numbers)}"
    postgres.ask(f"CREATE DATABASE {name} TEMPLATE mlflow", database="postgres")
    return uri(postgres, name)


@pytest.fixture(scope="session")
def prepared(
    postgres: Server, raced: list[Program], tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Callable[[], str]]:
    """What the job said that made the accounts, and what makes databases that have them."""
    assert {job.process.returncode for job in raced} == {0}
    postgres.ask("CREATE DATABASE accounts TEMPLATE mlflow", database="postgres")
    said = Guarded(uri(postgres, "accounts"), tmp_path_factory.mktemp("accounts")).prepare()

    def make() -> str:
        name = f"guarded_{next(_numbers)}"
        postgres.ask(f"CREATE DATABASE {name} TEMPLATE accounts", database="postgres")
        return uri(postgres, name)

    return said, make


@pytest.fixture
def migrate(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Starts the job on a URI."""
    jobs: list[Program] = []

    def start(backend_store_uri: str, **env: str) -> Program:
        env = {"MLFLOW_BACKEND_STORE_URI": backend_store_uri, "HOMEPORT_DATABASE_TIMEOUT": "20"} | env
        jobs.append(Program("homeport.tracking.migrate", env, tmp_path / "jobs"))
        return jobs[-1]

    yield start
    for job in jobs:
        job.end()
