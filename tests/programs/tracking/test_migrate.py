"""The schema job migrates once, whoever else tries, and refuses what it would destroy."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import psycopg2
import pytest

from homeport.errors import HomeportError
from homeport.tracking import migrate as job
from homeport.tracking import schema
from homeport.tracking.backend_store import parse
from tests.programs.database.programs import Program
from tests.programs.database.rooms import make_room
from tests.programs.database.server import PASSWORD, Server
from tests.programs.tracking.conftest import uri

Migrate = Callable[..., Program]


def ask(address: str, statement: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(address.replace("+psycopg2", ""))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []
    finally:
        connection.close()


def imports_mlflow(said: str) -> bool:
    """Whether a program said so, with PYTHONPROFILEIMPORTTIME=1."""
    return re.search(r"\|\s+mlflow\n", said) is not None


def test_of_eight_started_at_once_one_migrates_and_all_succeed(raced: list[Program]) -> None:
    assert [one.process.returncode for one in raced] == [0] * 8
    created = [one for one in raced if "schema created at" in one.said]
    assert len(created) == 1
    assert sum("schema at head" in one.said for one in raced) == 7


def test_a_created_schema_says_how_far_it_went(raced: list[Program]) -> None:
    created = next(one.said for one in raced if "schema created at" in one.said)
    line = f"schema created at {schema.head()} ({len(schema.revisions())} revisions)\n"
    assert created.replace("another process migrates this database; waiting for it\n", "") == line


def test_at_head_there_is_nothing_to_do_and_mlflow_stays_out(at_head: str, migrate: Migrate) -> None:
    assert not imports_mlflow(migrate(at_head, PYTHONPROFILEIMPORTTIME="1").wait())
    assert migrate(at_head).wait() == f"schema at head ({schema.head()})\n"


def test_both_drivers_of_postgresql_are_understood(at_head: str, migrate: Migrate) -> None:
    assert "schema at head" in migrate(at_head.replace("psycopg2", "psycopg")).wait()


def test_a_newer_schema_is_refused(at_head: str, migrate: Migrate) -> None:
    ask(at_head, "UPDATE alembic_version SET version_num = 'fedcba987654'")
    error = migrate(at_head).reason()
    assert error["code"] == "SCHEMA_NEWER"
    assert ask(at_head, "SELECT version_num FROM alembic_version") == [("fedcba987654",)]


def test_tables_of_another_program_are_not_mixed_with(empty: str, migrate: Migrate) -> None:
    ask(empty, "CREATE TABLE invoices (id int)")
    assert migrate(empty).refused() == "DATABASE_NOT_EMPTY"
    assert ask(empty, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == [("invoices",)]


def test_two_revisions_at_once_are_refused(at_head: str, migrate: Migrate) -> None:
    ask(at_head, "INSERT INTO alembic_version VALUES ('0123456789ab')")
    assert migrate(at_head).refused() == "SCHEMA_UNREADABLE"


def test_a_wrong_password_says_what_probably_happened_and_what_mends_it(postgres: Server, migrate: Migrate) -> None:
    error = migrate(
        uri(postgres, "mlflow", password="another"), HOMEPORT_DATABASE_TIMEOUT="600", HOMEPORT_DATABASE_EMBEDDED="true"
    ).reason()
    assert error["code"] == "DATABASE_PASSWORD_REFUSED"
    assert error["why"] == "data/database was created with another password"
    assert error["fix"] == "restore secrets/database-password, or start over: homeport down --volumes"
    assert 'password authentication failed for user "mlflow"' in error["evidence"][0]["text"]


def test_a_wrong_password_of_a_database_elsewhere_is_the_settings_matter(postgres: Server, migrate: Migrate) -> None:
    error = migrate(uri(postgres, "mlflow", password="another"), HOMEPORT_DATABASE_TIMEOUT="600").reason()
    assert error["code"] == "DATABASE_PASSWORD_REFUSED"
    assert error["fix"] == "correct MLFLOW_BACKEND_STORE_URI"


def test_a_missing_database_names_it(postgres: Server, migrate: Migrate) -> None:
    error = migrate(uri(postgres, "nothing"), HOMEPORT_DATABASE_TIMEOUT="600").reason()
    assert (error["code"], error["what"]) == ("DATABASE_MISSING", 'there is no database "nothing"')


def test_a_database_nobody_serves_is_given_up_after_its_time(migrate: Migrate) -> None:
    address = "postgresql+psycopg2://mlflow:secret@127.0.0.1:1/mlflow"
    job = migrate(address, HOMEPORT_DATABASE_TIMEOUT="0.3")
    assert job.refused() == "DATABASE_UNREACHABLE"
    assert "secret" not in job.said


def test_a_database_that_starts_later_is_waited_for(migrate: Migrate) -> None:
    room = make_room()
    server = Server(room / "data", room)
    waiting = migrate(uri(server, "nothing"))
    try:
        server.start()
        assert waiting.refused() == "DATABASE_MISSING"
    finally:
        server.end()
        shutil.rmtree(room)


def test_a_file_is_created_where_there_was_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", f"sqlite:///{tmp_path}/a dir/mlflow.db")
    job.main()
    assert capsys.readouterr().out == f"schema created at {schema.head()} ({len(schema.revisions())} revisions)\n"
    assert [path.name for path in tmp_path.rglob("*")] == ["a dir", "mlflow.db"]


def older(address: str, revision: str) -> None:
    """A database as an MLflow of that revision left it."""
    from alembic import command
    from mlflow.store.db import utils

    engine = utils.create_sqlalchemy_engine(address)
    utils.InitialBase.metadata.create_all(engine)
    config = utils._get_alembic_config(address)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def test_an_older_schema_is_upgraded_and_every_step_is_named(
    empty: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = schema.lineage(None, schema.head(), schema.revisions())
    older(empty, steps[-4])
    ask(empty, "INSERT INTO experiments (name, lifecycle_stage) VALUES ('kept', 'active')")
    capsys.readouterr()
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", empty)
    job.main()
    said = capsys.readouterr().out
    assert said == f"schema upgraded: {steps[-4]} -> {steps[-1]} (3 revisions): {', '.join(steps[-3:])}\n"
    assert schema.current(empty) == schema.head()
    assert ask(empty, "SELECT name FROM experiments") == [("kept",)]


def test_a_creation_that_was_interrupted_is_continued(
    empty: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow.store.db import utils

    engine = utils.create_sqlalchemy_engine(empty)
    utils.InitialBase.metadata.create_all(engine)
    engine.dispose()
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", empty)
    job.main()
    assert "schema created at" in capsys.readouterr().out
    assert schema.current(empty) == schema.head()


def test_a_migration_that_fails_changes_nothing_and_shows_what_mlflow_said(
    empty: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = schema.lineage(None, schema.head(), schema.revisions())
    older(empty, steps[-4])
    # Something of the user's is in the way of the last steps.
    ask(empty, "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''in the way''; END'")
    ask(empty, "CREATE EVENT TRIGGER refuse ON ddl_command_start EXECUTE FUNCTION refuse()")
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", empty)
    with pytest.raises(HomeportError) as caught:
        job.main()
    assert caught.value.code == "SCHEMA_MIGRATION_FAILED"
    assert "in the way" in dict(caught.value.evidence)["error"]
    assert "Traceback" in capsys.readouterr().err
    assert schema.current(empty) == steps[-4]


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("mlflow", "DATABASE_URI_INVALID"),
        ("oracle://u:p@h/d", "DATABASE_URI_INVALID"),
        ("postgresql+psycopg2://u:p@h", "DATABASE_URI_INVALID"),
        ("postgresql+psycopg2://u:p@h:port/d", "DATABASE_URI_INVALID"),
        ("sqlite://", "DATABASE_URI_INVALID"),
        ("sqlite:///:memory:", "DATABASE_URI_INVALID"),
        ("mysql+mysqldb://u:p@h/d", "DATABASE_DRIVER_MISSING"),
        ("sqlite:////proc/homeport/mlflow.db", "DATABASE_NOT_WRITABLE"),
    ],
)
def test_an_address_that_cannot_work_is_refused(address: str, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", address)
    with pytest.raises(HomeportError) as caught:
        job.main()
    assert caught.value.code == code


def test_a_file_that_is_no_database_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mlflow.db").write_text("not a database, but long enough to have a header" * 10)
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(HomeportError) as caught:
        job.main()
    assert caught.value.code == "DATABASE_DAMAGED"


def test_no_address_at_all_is_said(migrate: Migrate) -> None:
    assert migrate("").refused() == "SETTING_MISSING"


def test_no_error_repeats_the_password(migrate: Migrate) -> None:
    job = migrate("postgresql+psycopg2://u:s3cr3t@127.0.0.1:1", HOMEPORT_DATABASE_TIMEOUT="0")
    job.process.wait(30)
    assert not re.search("s3cr3t", job.said)


def test_sqlite_locks_leave_no_file(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "mlflow.db").close()
    store = parse(f"sqlite:///{tmp_path}/mlflow.db")
    connection = store.connect()
    job._wait_for_turn(store, connection)
    connection.close()
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_the_password_of_a_uri_is_decoded() -> None:
    store = parse("postgresql+psycopg2://me%40here:p%40ss%2Fw%3Ard%20%27quoted%27@[::1]:5/d?sslmode=disable")
    assert (store.user, store.password, store.host, store.port) == ("me@here", PASSWORD, "::1", 5)
    assert store.options == {"sslmode": "disable"}
    assert "quoted" not in repr(store) + str(store)
