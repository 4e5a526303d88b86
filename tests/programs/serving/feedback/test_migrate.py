"""The job makes a role, a database and tables of serving's own, whoever else tries, and opens nothing of MLflow's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg2
import pytest

from homeport.serving.feedback import schema
from tests.programs.database.programs import Program
from tests.programs.database.server import Server, run
from tests.programs.serving.feedback.tables import admin_uri

Migrate = Callable[..., Program]
SECRET = "s3cret 'of' %serving%"
HEAD = schema.HEAD


def with_admin(server: Server, password: str = SECRET) -> dict[str, str]:
    return {"HOMEPORT_ADMIN_DATABASE_URI": admin_uri(server), "HOMEPORT_PREDICTION_PASSWORD": password}


def as_serving(server: Server, database: str = "homeport", password: str = SECRET) -> psycopg2.extensions.connection:
    connection = psycopg2.connect(
        host="127.0.0.1", port=server.port, user="homeport_serving", password=password, dbname=database
    )
    connection.autocommit = True
    return connection


def ask_as_serving(server: Server, statement: str, database: str = "homeport") -> list[tuple[object, ...]]:
    connection = as_serving(server, database)
    try:
        return run(connection, statement)
    finally:
        connection.close()


def test_four_at_once_make_one_role_one_database_and_one_schema(own: Server, migrate: Migrate) -> None:
    jobs = [migrate(**with_admin(own)) for _ in range(4)]
    said = [job.wait() for job in jobs]
    assert sorted(said) == sorted(
        [f"prediction log created at version {HEAD}\n", *[f"prediction log at version {HEAD}\n"] * 3]
    )
    assert ask_as_serving(own, "SELECT max(version), count(*) FROM schema_version") == [(HEAD, HEAD)]
    assert ask_as_serving(own, "SELECT count(*) FROM prediction") == [(0,)]


def test_a_second_run_keeps_the_rows_and_takes_the_new_password(own: Server, migrate: Migrate, tmp_path: Path) -> None:
    migrate(**with_admin(own)).wait()
    ask_as_serving(own, "INSERT INTO feedback VALUES ('a', 0, '1')")
    file = tmp_path / "password"
    file.write_text("another\n")
    env = {
        "HOMEPORT_ADMIN_DATABASE_URI": admin_uri(own),
        "HOMEPORT_PREDICTION_PASSWORD_FILE": str(file),
    }
    assert migrate(**env).wait() == f"prediction log at version {HEAD}\n"
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        as_serving(own)
    connection = as_serving(own, password="another")
    assert run(connection, "SELECT count(*) FROM feedback") == [(1,)]
    connection.close()


def test_servings_role_reads_nothing_of_mlflows_and_makes_nothing_there(own: Server, migrate: Migrate) -> None:
    own.ask("CREATE TABLE runs (run_uuid text)")
    own.ask("INSERT INTO runs VALUES ('secret')")
    own.ask("CREATE ROLE analyst LOGIN PASSWORD 'analyst'")
    migrate(**with_admin(own)).wait()
    for statement in (
        "SELECT * FROM runs", "INSERT INTO runs VALUES ('mine')", "CREATE TABLE mine (x int)", "CREATE ROLE mine",
        "CREATE DATABASE mine", "SELECT rolpassword FROM pg_authid", "SELECT pg_read_file('PG_VERSION')",
    ):  # fmt: skip
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            ask_as_serving(own, statement, database="mlflow")
    # What others may do in MLflow's database is as before; the log is serving's alone.
    analyst = {"host": "127.0.0.1", "port": own.port, "user": "analyst", "password": "analyst"}
    psycopg2.connect(dbname="mlflow", **analyst).close()
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        psycopg2.connect(dbname="homeport", **analyst)


def test_the_servers_log_does_not_hold_the_password(own: Server, migrate: Migrate) -> None:
    own.ask("ALTER SYSTEM SET log_statement = 'all'")
    own.ask("SELECT pg_reload_conf()")
    migrate(**with_admin(own, password="unmistakable")).wait()
    said = own.programs[-1].said
    assert "CREATE ROLE homeport_serving" in said
    assert "unmistakable" not in said


def test_a_database_elsewhere_gets_the_tables_alone(postgres: Server, migrate: Migrate) -> None:
    postgres.ask("CREATE DATABASE elsewhere")
    env = {"HOMEPORT_PREDICTION_DATABASE_URI": admin_uri(postgres, "elsewhere")}
    assert migrate(**env).wait() == f"prediction log created at version {HEAD}\n"
    assert migrate(**env).wait() == f"prediction log at version {HEAD}\n"
    roles = postgres.ask("SELECT count(*) FROM pg_roles WHERE rolname = 'homeport_serving'")
    assert roles == [(0,)]


def test_a_wrong_password_is_refused_with_the_name_of_the_setting(postgres: Server, migrate: Migrate) -> None:
    env = with_admin(postgres) | {"HOMEPORT_ADMIN_DATABASE_URI": admin_uri(postgres, password="wrong")}
    error = migrate(**env).reason()
    assert error["code"] == "DATABASE_PASSWORD_REFUSED"
    assert error["fix"] == "correct HOMEPORT_ADMIN_DATABASE_URI"
    assert "wrong" not in str(error["evidence"])


@pytest.mark.parametrize("uri", ["mysql://u:hidden@h/d", "sqlite:///predictions.db", "hidden"])
def test_what_is_not_postgresql_is_refused_without_being_repeated(uri: str, migrate: Migrate) -> None:
    error = migrate(HOMEPORT_PREDICTION_DATABASE_URI=uri).reason()
    assert (error["code"], error["exit_code"]) == ("PREDICTION_DATABASE_NOT_POSTGRESQL", 2)
    assert "hidden" not in str(error)


def test_without_a_database_or_a_password_it_says_which_setting_is_missing(migrate: Migrate) -> None:
    error = migrate().reason()
    assert error["code"] == "SETTING_MISSING"
    assert "HOMEPORT_PREDICTION_DATABASE_URI" in str(error["what"])
    assert migrate(HOMEPORT_ADMIN_DATABASE_URI="postgresql://u:p@127.0.0.1:1/d").refused() == "SECRET_MISSING"


def test_a_user_who_may_not_make_roles_is_told_what_to_do(own: Server, migrate: Migrate) -> None:
    own.ask("CREATE ROLE small LOGIN PASSWORD 'small'")
    env = with_admin(own) | {"HOMEPORT_ADMIN_DATABASE_URI": admin_uri(own, user="small", password="small")}
    error = migrate(**env).reason()
    assert error["code"] == "PREDICTION_DATABASE_REFUSED"
    assert "HOMEPORT_PREDICTION_DATABASE_URI" in str(error["fix"])


def test_a_database_of_that_name_that_is_somebody_elses_is_left_alone(own: Server, migrate: Migrate) -> None:
    own.ask("CREATE DATABASE homeport")
    assert migrate(**with_admin(own)).refused() == "PREDICTION_DATABASE_TAKEN"
    assert own.ask("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", database="homeport") == [(0,)]


def test_an_administrator_does_not_become_servings_role(own: Server, migrate: Migrate) -> None:
    own.ask("CREATE ROLE homeport_serving SUPERUSER LOGIN PASSWORD 'admin'")
    assert migrate(**with_admin(own)).refused() == "PREDICTION_ROLE_TAKEN"
    as_serving(own, "mlflow", password="admin").close()


def test_a_newer_schema_and_tables_of_another_program_are_refused_and_kept(
    postgres: Server, uri: str, session: object, migrate: Migrate
) -> None:
    run(session, f"INSERT INTO schema_version VALUES ({HEAD + 1})")
    assert migrate(HOMEPORT_PREDICTION_DATABASE_URI=uri).refused() == "PREDICTION_SCHEMA_NEWER"

    postgres.ask("CREATE DATABASE foreign_tables")
    postgres.ask("CREATE TABLE shadow (x int)", database="foreign_tables")
    env = {"HOMEPORT_PREDICTION_DATABASE_URI": admin_uri(postgres, "foreign_tables")}
    assert migrate(**env).refused() == "PREDICTION_SCHEMA_FAILED"
    tables = postgres.ask("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database="foreign_tables")
    assert tables == [("shadow",)]
