"""The job's accounts: made once, whoever else tries; a changed secret is taken over, a person's own password kept."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from werkzeug.security import check_password_hash, generate_password_hash

from homeport.tracking import schema
from tests.programs.database.programs import Program
from tests.programs.tracking.guarded import ACCOUNTS, ADMIN, PASSWORDS, SERVING, TRAINING
from tests.programs.tracking.test_migrate import ask, imports_mlflow

pytestmark = pytest.mark.slow  # each makes a whole schema, most of them several accounts
Migrate = Callable[..., Program]
HEAD = f"schema at head ({schema.head()})"
TABLES = ("users", "roles", "role_permissions", "user_role_assignments", "homeport_accounts")
_SHARED = dict.fromkeys(("MLFLOW_AUTH_ADMIN_PASSWORD", "HOMEPORT_SERVING_PASSWORD"), "one password")


@pytest.fixture
def with_users(prepared: tuple[str, Callable[[], str]]) -> str:
    """The URI of a database with the accounts."""
    return prepared[1]()


def everything(uri: str) -> dict[str, list[tuple[object, ...]]]:
    return {table: sorted(ask(uri, f"SELECT * FROM {table}")) for table in TABLES}


def password_is(uri: str, user: str, password: str) -> bool:
    [(found,)] = ask(uri, f"SELECT password_hash FROM users WHERE username = '{user}'")
    return check_password_hash(str(found), password)


def set_password(uri: str, user: str, password: str) -> None:
    """As MLflow does when a person changes it."""
    ask(uri, f"UPDATE users SET password_hash = '{generate_password_hash(password)}' WHERE username = '{user}'")


def test_the_second_time_nothing_is_written_and_mlflow_stays_out(with_users: str, migrate: Migrate) -> None:
    before = everything(with_users)
    assert migrate(with_users, **ACCOUNTS).wait() == f"{HEAD}; users: as they were\n"
    assert everything(with_users) == before
    assert not imports_mlflow(migrate(with_users, PYTHONPROFILEIMPORTTIME="1", **ACCOUNTS).wait())


def test_what_was_made_is_said_in_one_line(prepared: tuple[str, Callable[[], str]]) -> None:
    assert prepared[0] == f"{HEAD}; users: {ADMIN} created, {SERVING} created, {TRAINING} created\n"


def test_who_is_admin_and_who_is_not(with_users: str) -> None:
    found = ask(with_users, "SELECT username, is_admin FROM users ORDER BY id")
    assert found == [(ADMIN, True), (SERVING, False), (TRAINING, False)]
    for user, password in PASSWORDS.items():
        assert password_is(with_users, user, password)


def test_without_authentication_no_table_of_users_is_made(at_head: str, migrate: Migrate) -> None:
    for word in ("", "off"):
        assert migrate(at_head, **{**ACCOUNTS, "HOMEPORT_AUTH": word}).wait() == f"{HEAD}\n"
    assert ask(at_head, "SELECT 1 FROM pg_tables WHERE tablename = 'users'") == []


def test_of_eight_started_at_once_on_an_empty_database_one_makes_the_accounts_and_all_succeed(
    empty: str, migrate: Migrate
) -> None:
    jobs = [migrate(empty, **ACCOUNTS) for _ in range(8)]
    said = [job.wait(120) for job in jobs]
    assert sum("schema created" in each and "admin created" in each for each in said) == 1
    assert sum("as they were" in each for each in said) == 7
    assert len(ask(empty, "SELECT 1 FROM users")) == 3
    assert len(ask(empty, "SELECT 1 FROM role_permissions")) == 4


def test_of_two_that_have_different_secrets_each_leaves_a_whole_account(at_head: str, migrate: Migrate) -> None:
    other = {**ACCOUNTS, "MLFLOW_AUTH_ADMIN_PASSWORD": "another password"}
    jobs = [migrate(at_head, **ACCOUNTS), migrate(at_head, **other)]
    said = [job.wait(120) for job in jobs]
    last = other if "has a new password" in said[1] else ACCOUNTS
    assert password_is(at_head, ADMIN, last["MLFLOW_AUTH_ADMIN_PASSWORD"])
    assert migrate(at_head, **last).wait() == f"{HEAD}; users: as they were\n"


def test_a_secret_that_was_changed_is_the_new_password(with_users: str, migrate: Migrate) -> None:
    new = {**ACCOUNTS, **_SHARED}
    changed = f"; users: {ADMIN} has a new password, {SERVING} has a new password\n"
    assert migrate(with_users, **new).wait() == HEAD + changed
    for user in (ADMIN, SERVING):
        assert password_is(with_users, user, "one password")
    assert password_is(with_users, TRAINING, PASSWORDS[TRAINING])
    assert migrate(with_users, **new).wait() == f"{HEAD}; users: as they were\n"


def test_a_password_that_the_admin_chose_in_mlflow_is_kept_until_the_secret_changes(
    with_users: str, migrate: Migrate
) -> None:
    set_password(with_users, ADMIN, "chosen by a person")
    for _ in range(2):
        assert migrate(with_users, **ACCOUNTS).wait() == f"{HEAD}; users: {ADMIN} keeps the password it has in MLflow\n"
        assert password_is(with_users, ADMIN, "chosen by a person")
    new = {**ACCOUNTS, "MLFLOW_AUTH_ADMIN_PASSWORD": "a new secret file"}
    assert migrate(with_users, **new).wait() == f"{HEAD}; users: {ADMIN} has a new password\n"
    assert password_is(with_users, ADMIN, "a new secret file")


def test_the_platforms_own_accounts_always_have_the_password_of_their_secret(with_users: str, migrate: Migrate) -> None:
    set_password(with_users, SERVING, "changed by somebody")
    assert f"{SERVING} has a new password" in migrate(with_users, **ACCOUNTS).wait()
    assert password_is(with_users, SERVING, PASSWORDS[SERVING])


def test_a_deleted_admin_stays_deleted_unless_nobody_could_log_in(with_users: str, migrate: Migrate) -> None:
    ask(with_users, f"UPDATE users SET is_admin = true WHERE username = '{TRAINING}'")
    ask(with_users, f"DELETE FROM users WHERE username = '{ADMIN}'")
    assert migrate(with_users, **ACCOUNTS).wait() == f"{HEAD}; users: as they were\n"
    ask(with_users, "UPDATE users SET is_admin = false")
    assert migrate(with_users, **ACCOUNTS).wait() == f"{HEAD}; users: {ADMIN} created\n"


def test_an_admin_of_before_homeport_keeps_its_password(with_users: str, migrate: Migrate) -> None:
    ask(with_users, "DROP TABLE homeport_accounts")
    set_password(with_users, ADMIN, "of stock MLflow")
    for _ in range(2):
        assert "keeps the password it has in MLflow" in migrate(with_users, **ACCOUNTS).wait()
    assert password_is(with_users, ADMIN, "of stock MLflow")


def test_an_admin_with_the_secrets_password_already_is_taken_note_of(with_users: str, migrate: Migrate) -> None:
    ask(with_users, "DROP TABLE homeport_accounts")
    migrate(with_users, **ACCOUNTS).wait()
    assert migrate(with_users, **ACCOUNTS).wait() == f"{HEAD}; users: as they were\n"


def test_mlflows_old_default_password_is_replaced(with_users: str, migrate: Migrate) -> None:
    ask(with_users, "DROP TABLE homeport_accounts")
    set_password(with_users, ADMIN, "password1234")
    assert f"{ADMIN} has a new password" in migrate(with_users, **ACCOUNTS).wait()
    assert password_is(with_users, ADMIN, PASSWORDS[ADMIN])


def test_lost_permissions_come_back_and_changed_ones_stay(with_users: str, migrate: Migrate) -> None:
    grants = "SELECT resource_type, permission FROM role_permissions p JOIN roles r ON r.id = role_id WHERE name = '{}'"
    assert dict(ask(with_users, grants.format(SERVING))) == {"registered_model": "READ", "experiment": "READ"}  # type: ignore[arg-type] # pairs
    ask(with_users, "DELETE FROM role_permissions WHERE resource_type = 'experiment' AND permission = 'READ'")
    ask(with_users, "UPDATE role_permissions SET permission = 'DENY' WHERE permission = 'EDIT'")
    assert migrate(with_users, **ACCOUNTS).wait() == f"{HEAD}; users: {SERVING} has its permissions again\n"
    assert dict(ask(with_users, grants.format(SERVING))) == {"registered_model": "READ", "experiment": "READ"}  # type: ignore[arg-type] # pairs
    assert dict(ask(with_users, grants.format(TRAINING))) == {"registered_model": "DENY", "experiment": "DENY"}  # type: ignore[arg-type] # pairs
    ask(with_users, "DELETE FROM user_role_assignments")
    assert "has its permissions again" in migrate(with_users, **ACCOUNTS).wait()


def test_accounts_without_a_password_are_not_made(at_head: str, migrate: Migrate) -> None:
    only = {name: value for name, value in ACCOUNTS.items() if not name.startswith("HOMEPORT_S")}
    assert f"users: {ADMIN} created, {TRAINING} created" in migrate(at_head, **only).wait()
    assert len(ask(at_head, "SELECT 1 FROM users")) == 2


def test_secrets_come_from_files_too(at_head: str, migrate: Migrate, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from a file, with a line break\n")
    from_file = {"HOMEPORT_AUTH": "basic", "MLFLOW_AUTH_ADMIN_PASSWORD_FILE": str(tmp_path / "secret")}
    migrate(at_head, MLFLOW_AUTH_ADMIN_USERNAME="root", **from_file).wait()
    assert password_is(at_head, "root", "from a file, with a line break")


@pytest.mark.parametrize(
    ("variable", "value", "code"),
    [
        ("MLFLOW_AUTH_ADMIN_PASSWORD", "", "SECRET_MISSING"),
        ("MLFLOW_AUTH_ADMIN_PASSWORD", "password1234", "ACCOUNT_INVALID"),
        ("MLFLOW_AUTH_ADMIN_PASSWORD", "too short", "ACCOUNT_INVALID"),
        ("MLFLOW_AUTH_ADMIN_PASSWORD", "schöne Grüße an alle", "ACCOUNT_INVALID"),
        ("HOMEPORT_SERVING_PASSWORD", "short", "ACCOUNT_INVALID"),
        ("MLFLOW_AUTH_ADMIN_USERNAME", "ad:min", "ACCOUNT_INVALID"),
        ("MLFLOW_AUTH_ADMIN_USERNAME", "homeport-serving", "ACCOUNT_INVALID"),
        ("HOMEPORT_AUTH", "bsic", "SETTING_INVALID"),
    ],
)
def test_what_could_not_log_in_later_is_refused_before_anything_is_asked(
    migrate: Migrate, variable: str, value: str, code: str
) -> None:
    job = migrate("postgresql+psycopg2://nobody@127.0.0.1:1/none", **{**ACCOUNTS, variable: value})
    error = job.reason()
    assert error["code"] == code
    assert variable in error["what"] + error["fix"]
    assert len(value) < 5 or value not in job.said or not variable.endswith("PASSWORD")


def test_users_of_a_newer_mlflow_are_refused(with_users: str, migrate: Migrate) -> None:
    ask(with_users, "UPDATE alembic_version_auth SET version_num = 'fedcba987654'")
    assert migrate(with_users, **ACCOUNTS).refused() == "SCHEMA_NEWER"


def test_a_table_of_users_of_another_program_is_left_alone(at_head: str, migrate: Migrate) -> None:
    ask(at_head, "CREATE TABLE users (id int, name text)")
    assert migrate(at_head, **ACCOUNTS).refused() == "DATABASE_NOT_EMPTY"
    assert ask(at_head, "SELECT count(*) FROM users") == [(0,)]


def test_users_of_before_mlflow_36_are_brought_along(with_users: str, migrate: Migrate, at_head: str) -> None:
    """Their tables had no revision; upstream takes them for its first."""
    columns = "id serial primary key, {} varchar(255), user_id int, permission varchar(255)"
    ask(with_users, "DROP TABLE homeport_accounts, user_role_assignments, role_permissions, roles CASCADE")
    rest = ask(with_users, "SELECT tablename FROM pg_tables WHERE tablename LIKE '%\\_permissions'")
    for (table,) in [*rest, ("users",), ("alembic_version_auth",)]:
        ask(with_users, f"DROP TABLE {table} CASCADE")
    ask(
        with_users,
        "CREATE TABLE users (id serial primary key, username varchar(255) UNIQUE, password_hash varchar(255),"
        " is_admin boolean)",
    )
    ask(with_users, f"CREATE TABLE experiment_permissions ({columns.format('experiment_id')})")
    ask(with_users, f"CREATE TABLE registered_model_permissions ({columns.format('name')})")
    ask(
        with_users,
        f"INSERT INTO users (username, password_hash, is_admin) VALUES ('old', '{generate_password_hash('x')}', true)",
    )
    assert "admin created" in migrate(with_users, **ACCOUNTS).wait()
    assert len(ask(with_users, "SELECT 1 FROM users")) == 4
    assert ask(with_users, "SELECT version_num FROM alembic_version_auth") == [(schema.head(schema.USERS),)]


def test_in_sqlite_two_at_once_make_them_once(tmp_path: Path, migrate: Migrate) -> None:
    file = tmp_path / "mlflow.db"
    jobs = [migrate(f"sqlite:///{file}", **ACCOUNTS) for _ in range(2)]
    said = [job.wait(120) for job in jobs]
    assert sum("admin created" in each for each in said) == 1

    def rows() -> list[Any]:
        with contextlib.closing(sqlite3.connect(file)) as connection:
            return connection.execute("SELECT username, is_admin FROM users ORDER BY id").fetchall()

    assert rows() == [(ADMIN, 1), (SERVING, 0), (TRAINING, 0)]
    new = {**ACCOUNTS, **_SHARED}
    assert "admin has a new password" in migrate(f"sqlite:///{file}", **new).wait()
    assert migrate(f"sqlite:///{file}", **new).wait() == f"{HEAD}; users: as they were\n"


def test_a_first_migration_of_users_that_was_killed_half_way_is_made_anew(at_head: str, migrate: Migrate) -> None:
    """As it is left where DDL cannot be taken back: tables, and no revision."""
    half = (
        "CREATE TABLE alembic_version_auth (version_num varchar(32) PRIMARY KEY)",
        "CREATE TABLE users (id serial primary key, username varchar(255))",
        "CREATE TABLE experiment_permissions (id serial primary key, user_id int REFERENCES users)",
    )
    for statement in half:
        ask(at_head, statement)
    assert "admin created" in migrate(at_head, **ACCOUNTS).wait()
    ask(at_head, "DELETE FROM alembic_version_auth")
    error = migrate(at_head, **ACCOUNTS).reason()
    assert error["code"] == "SCHEMA_MIGRATION_FAILED"
    assert "has rows" in str(error["evidence"])
    assert len(ask(at_head, "SELECT 1 FROM users")) == 3
