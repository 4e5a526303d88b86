"""A database or a store elsewhere, or another PostgreSQL's programs: used as they are, nothing of ours beside them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from homeport.database.binaries import find_binaries
from homeport.objectstore.client import client
from homeport.supervisor.ports import choose
from tests.e2e.harness import Homeport, eventually

pytestmark = pytest.mark.slow

NewHome = Callable[..., Homeport]
Python = Callable[..., subprocess.CompletedProcess[str]]

ACCESS_KEY, SECRET_KEY = "someaccesskey", "some-secret-key"
LOG = (
    "import mlflow\nwith mlflow.start_run() as run: mlflow.log_metric('m', 4); mlflow.log_text('kept', 'a.txt')\n"
    "text = mlflow.artifacts.load_text(run.info.artifact_uri + '/a.txt')\n"
    "print(mlflow.get_run(run.info.run_id).data.metrics['m'], text)"
)


@contextmanager
def _program(
    module: str, directory: Path, environ: Mapping[str, str], answers: Callable[[], object], stop: signal.Signals
) -> Iterator[None]:
    """A server that is none of the platform's, run until the end of the block."""
    (directory / "data").mkdir(parents=True)
    env = {**os.environ, "HOMEPORT_DATA": str(directory / "data"), **environ}
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", module], env=env, stdout=log, stderr=log, cwd="/")
    try:
        eventually(answers, 60, module)
        yield
    finally:
        process.send_signal(stop)
        process.wait(60)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Another PostgreSQL, as somebody would write its URI."""
    import psycopg2

    port = choose(set())
    uri = f"postgresql://tracker:S3cret%40word@127.0.0.1:{port}/experiments"
    environ = {
        "HOMEPORT_LISTEN_HOST": "127.0.0.1",
        "HOMEPORT_LISTEN_PORT": str(port),
        "POSTGRES_USER": "tracker",
        "POSTGRES_DB": "experiments",
        "POSTGRES_PASSWORD": "S3cret@word",
    }

    def answers() -> bool:
        psycopg2.connect(uri).close()
        return True

    directory = tmp_path_factory.mktemp("elsewhere") / "database"
    with _program("homeport.database", directory, environ, answers, signal.SIGINT):
        yield uri


@dataclass(frozen=True)
class Store:
    """Another S3 store."""

    endpoint: str
    data: Path

    @property
    def settings(self) -> dict[str, str]:
        """What a user sets to use it."""
        return {
            "MLFLOW_S3_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        }


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Another S3 store, without a bucket."""
    directory, port = tmp_path_factory.mktemp("elsewhere") / "store", choose(set())
    found = Store(f"http://127.0.0.1:{port}", directory / "data")
    environ = {
        "HOMEPORT_LISTEN_PORT": str(port),
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    }

    def answers() -> object:
        return client(endpoint=found.endpoint, access_key=ACCESS_KEY, secret_key=SECRET_KEY).list_buckets()

    with _program("homeport.objectstore.server", directory, environ, answers, signal.SIGTERM):
        yield found


def test_a_database_elsewhere_gets_the_schema_and_the_runs_and_no_database_of_ours_is_made(
    new_home: NewHome, database: str, python: Python
) -> None:
    import psycopg2

    home = new_home(MLFLOW_BACKEND_STORE_URI=database)
    home.up()
    names = [row["name"] for row in home.status()["services"]]
    assert names == ["objectstore", "objectstore-init", "tracking-migrate", "tracking", "serving"]
    assert not (home.home / "data" / "database").exists()
    done = python(LOG, home.env())
    assert done.stdout.split()[-2:] == ["4.0", "kept"], done.stderr
    connection = psycopg2.connect(database)
    try:
        cursor = connection.cursor()
        cursor.execute("select count(*) from metrics where key = 'm' and value = 4")
        assert cursor.fetchone() == (1,)
    finally:
        connection.close()
    assert "S3cret" not in "".join(file.read_text() for file in (home.home / "logs").iterdir())
    home.ok("down")
    psycopg2.connect(database).close()  # it is not ours to stop


def test_a_store_elsewhere_gets_the_bucket_and_the_artifacts_and_no_store_of_ours_is_made(
    new_home: NewHome, store: Store, python: Python
) -> None:
    home = new_home(**store.settings, HOMEPORT_BUCKET="team-artifacts")
    home.up()
    assert [row["name"] for row in home.status()["services"]] == [
        "database", "objectstore-init", "tracking-migrate", "tracking", "serving",
    ]  # fmt: skip
    assert not (home.home / "data" / "objectstore").exists()
    environ = {name: value for name, value in home.env().items() if name not in store.settings}
    done = python(LOG, environ)
    assert done.stdout.split()[-2:] == ["4.0", "kept"], done.stderr
    assert [file.read_text() for file in (store.data / "team-artifacts").rglob("a.txt")] == ["kept"]


def test_a_wrong_key_for_a_store_elsewhere_is_said_at_once_and_not_shown(new_home: NewHome, store: Store) -> None:
    home = new_home(**{**store.settings, "AWS_SECRET_ACCESS_KEY": "not-the-key-of-this-store"})
    error = home.refused("up", "--detach", exit_code=1, timeout=50)  # less than a store that warms up is given
    assert error["code"] == "OBJECTSTORE_KEYS_REFUSED"
    assert store.endpoint in error["text"]
    assert "not-the-key" not in error["text"]
    assert home.run("status").returncode == 3
    logs = "".join(file.read_text() for file in (home.home / "logs").iterdir())
    assert "not-the-key" not in logs


def test_a_postgresql_of_the_machine_is_used_when_its_programs_are_named(new_home: NewHome) -> None:
    programs = find_binaries()
    home = new_home(HOMEPORT_POSTGRES_BIN=str(programs))
    home.up()
    assert home.service("database")["state"] == "healthy"
    shown = json.loads(home.ok("config", "show", "--json"))["settings"]
    assert next(row for row in shown if row["name"] == "HOMEPORT_POSTGRES_BIN")["value"] == str(programs)
