"""Ready means that the database, its schema and the store answer now, and a part that hangs hides no other."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from homeport.tracking import readiness as module
from homeport.tracking import schema
from homeport.tracking.readiness import Readiness
from tests.programs.database.server import Server
from tests.programs.objectstore.store import ACCESS, SECRET, Store


def parts(readiness: Readiness) -> list[str]:
    return [problem.part for problem in readiness.check()]


def forget(readiness: Readiness) -> Readiness:
    """The next check asks again, as it does after some time."""
    if readiness._state is not None:
        readiness._state.good_until = 0.0
    return readiness


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    room = tmp_path_factory.mktemp("store")
    made = Store(room / "data", room / "room")
    try:
        made.start()
        made.client().create_bucket(Bucket="mlflow")
        yield made
    finally:
        made.end()


@pytest.fixture
def s3(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", store.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    return store


@pytest.mark.usefixtures("s3")
def test_all_is_well(at_head: str) -> None:
    assert Readiness(at_head, "s3://mlflow").check() == []


def test_no_room_for_temporary_files_is_a_problem_with_needed_and_found(
    at_head: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEAST_FREE_MIB", 2**40)  # more than any disk has
    (problem,) = Readiness(at_head, str(tmp_path)).check()
    assert problem.part == "disk"
    assert "MiB needed" in problem.message
    assert problem.fix


def test_a_schema_that_is_not_at_head_says_needed_and_found(empty: str, tmp_path: Path) -> None:
    (problem,) = Readiness(empty, str(tmp_path)).check()
    assert problem.part == "database"
    assert "found none" in problem.message


def test_a_database_that_went_away_is_said_and_found_again(at_head: str, tmp_path: Path, postgres: Server) -> None:
    readiness = Readiness(at_head, str(tmp_path))
    assert readiness.check() == []
    name = at_head.rsplit("/", 1)[1]
    postgres.ask(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false", database="postgres")
    cut(postgres, name)
    assert parts(forget(readiness)) == ["database"]
    postgres.ask(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true", database="postgres")
    assert forget(readiness).check() == []


def test_a_connection_that_was_cut_is_made_again(at_head: str, tmp_path: Path, postgres: Server) -> None:
    readiness = Readiness(at_head, str(tmp_path))
    assert readiness.check() == []
    assert cut(postgres, at_head.rsplit("/", 1)[1]) == 1
    assert forget(readiness).check() == []


def cut(postgres: Server, name: str) -> int:
    statement = f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'"
    return len(postgres.ask(statement, database="postgres"))


def test_one_connection_is_kept_for_all_checks(at_head: str, tmp_path: Path, postgres: Server) -> None:
    readiness = Readiness(at_head, str(tmp_path))
    for _ in range(5):
        forget(readiness).check()
    assert cut(postgres, at_head.rsplit("/", 1)[1]) == 1


def test_a_missing_bucket_is_said(at_head: str, s3: Store) -> None:
    (problem,) = Readiness(at_head, "s3://nothing").check()
    assert problem.part == "objectstore"
    assert "404" in problem.message


def test_a_refused_key_is_said(at_head: str, s3: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert parts(Readiness(at_head, "s3://mlflow")) == ["objectstore"]


@pytest.mark.usefixtures("s3")
def test_every_part_that_fails_is_named(empty: str) -> None:
    assert parts(Readiness(empty, "s3://nothing")) == ["database", "objectstore"]


def test_a_store_that_hangs_does_not_hide_the_database(empty: str, s3: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        readiness = Readiness(empty, "s3://mlflow", timeout=0.5)
        began = time.monotonic()
        database, store = readiness.check()
        assert time.monotonic() - began < 2.5
    assert database.part == "database"
    assert "no answer for" in store.message


def test_a_database_that_is_stopped_in_the_middle_is_no_answer(at_head: str, tmp_path: Path, postgres: Server) -> None:
    readiness = Readiness(at_head, str(tmp_path), timeout=0.5)
    assert readiness.check() == []
    name = at_head.rsplit("/", 1)[1]
    ((backend,),) = postgres.ask(f"SELECT pid FROM pg_stat_activity WHERE datname = '{name}'", database="postgres")
    os.kill(backend, signal.SIGSTOP)
    try:
        (problem,) = forget(readiness).check()
        assert (problem.part, "no answer for" in problem.message) == ("database", True)
    finally:
        os.kill(backend, signal.SIGCONT)


def test_a_good_answer_is_remembered_for_a_while(at_head: str, tmp_path: Path) -> None:
    readiness = Readiness(at_head, str(tmp_path / "artifacts"))
    (tmp_path / "artifacts").mkdir()
    assert readiness.check() == []
    (tmp_path / "artifacts").rmdir()
    assert readiness.check() == []
    assert parts(forget(readiness)) == ["objectstore"]


def test_a_bad_answer_is_remembered_for_a_quarter_of_that() -> None:
    assert module.BAD_FOR == module.GOOD_FOR / 4 == 0.5


def test_a_local_directory_must_be_there(at_head: str, tmp_path: Path) -> None:
    assert Readiness(at_head, f"file://{tmp_path}").check() == []
    assert parts(Readiness(at_head, f"file://{tmp_path}/none")) == ["objectstore"]


def test_other_stores_are_not_asked(at_head: str) -> None:
    assert Readiness(at_head, "gs://bucket").check() == []


# In a program of its own: a test run has threads, and a fork copies the locks they hold.
_FORK = """
import os, sys
from homeport.tracking.readiness import Readiness
readiness = Readiness(*sys.argv[1:])
assert readiness.check() == []
child = os.fork()
problems = readiness.check()
assert problems == [], problems
if child:
    assert os.waitpid(child, 0)[1] == 0
    readiness._state.good_until = 0.0
    assert readiness.check() == []
"""


def test_after_a_fork_the_parent_and_the_child_do_not_share_a_connection(at_head: str, tmp_path: Path) -> None:
    forked = subprocess.run([sys.executable, "-c", _FORK, at_head, str(tmp_path)], capture_output=True, check=False)
    assert (forked.returncode, forked.stderr) == (0, b"")


def test_a_database_that_cannot_be_asked_is_a_problem_and_not_an_exception() -> None:
    assert parts(Readiness("sqlite:////proc/none.db", "gs://b")) == ["database"]
    assert parts(Readiness("nonsense", "gs://b")) == ["database"]


def test_problems_carry_no_password(tmp_path: Path) -> None:
    problems = Readiness("postgresql+psycopg2://mlflow:s3cr3t@127.0.0.1:1/mlflow", str(tmp_path)).check()
    assert [problem.part for problem in problems] == ["database"]
    assert "s3cr3t" not in str(problems)


_NEWER = "UPDATE alembic_version SET version_num = 'fedcba987654'"


def test_a_server_that_saw_its_schema_stays_ready_when_a_newer_mlflow_moves_it_on(
    at_head: str, tmp_path: Path, postgres: Server
) -> None:
    readiness = Readiness(at_head, str(tmp_path))
    assert readiness.check() == []
    postgres.ask(_NEWER, database=at_head.rsplit("/", 1)[1])
    assert forget(readiness).check() == []


def test_a_server_that_never_saw_its_schema_is_not_ready_with_a_newer_one(
    at_head: str, tmp_path: Path, postgres: Server
) -> None:
    postgres.ask(_NEWER, database=at_head.rsplit("/", 1)[1])
    assert parts(Readiness(at_head, str(tmp_path))) == ["database"]


def test_a_server_that_saw_its_schema_is_not_ready_with_an_older_one(
    at_head: str, tmp_path: Path, postgres: Server
) -> None:
    readiness = Readiness(at_head, str(tmp_path))
    assert readiness.check() == []
    older = schema.lineage(None, schema.head(), schema.revisions())[-2]
    postgres.ask(f"UPDATE alembic_version SET version_num = '{older}'", database=at_head.rsplit("/", 1)[1])
    assert parts(forget(readiness)) == ["database"]


_REPLACED = """
import os, sys
import psycopg2
from homeport.tracking.readiness import Readiness
readiness = Readiness(*sys.argv[1:3])
if not os.fork():
    os._exit(len(readiness.check()))
assert os.wait()[1] == 0
connection = psycopg2.connect(sys.argv[1].replace("+psycopg2", ""))
connection.cursor().execute(sys.argv[3])
connection.commit()
if not os.fork():
    os._exit(len(readiness.check()))
assert os.wait()[1] == 0, "the worker that replaced the first one forgot what that one saw"
"""


def test_a_worker_that_replaces_another_one_knows_what_that_one_saw(at_head: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _REPLACED, at_head, str(tmp_path), _NEWER]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
