"""The accounts that the platform itself needs among MLflow's users: who they are, and what is to be done for them.

The administrator's password is the secret's until it is changed in MLflow, and the secret's again when the secret
changes (docs/adr/0007). Read and written by SQL, since importing MLflow takes seconds (mlflow 3.17.2,
server/auth/db/models.py). Refuses to know when it is asked.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from homeport import program
from homeport.errors import ExitCode, HomeportError
from homeport.tracking import schema
from homeport.tracking.backend_store import BackendStore, Connection, parse

SERVING, TRAINING = "homeport-serving", "homeport-training"
# resource type -> permission on every one of them. Below them, versions and logged models inherit; artifacts belong to
# experiments. Explicit, so that they hold whatever default_permission says.
_GRANTS: Mapping[str, Mapping[str, str]] = {
    SERVING: {"registered_model": "READ", "experiment": "READ"},
    TRAINING: {"registered_model": "EDIT", "experiment": "EDIT"},
}
_WORKSPACE = "default"  # mlflow 3.17.2, utils/workspace_utils.py: where grants stand while there are no workspaces
_NOTES = "homeport_accounts"  # which secret an administrator's password was set from last, as a hash
_SHORTEST = 12  # mlflow 3.17.2, utils/validation.py
_LEGACY_PASSWORD = "password1234"  # noqa: S105 - public: what MLflow shipped once, and refuses now
# Native routes read credentials as ASCII (mlflow 3.17.2, server/auth/__init__.py `_authenticate_fastapi_request`).
_VISIBLE = re.compile(r"[\x20-\x7e]+")

Matches = Callable[[str, str], bool]  # hash, password -> whether it is that password's


class Deed(StrEnum):
    """What is to be done for an account."""

    CREATE = "created"
    PASSWORD = "has a new password"  # noqa: S105 - a word
    GRANTS = "has its permissions again"
    NOTE = "keeps the password it has in MLflow"


@dataclass(frozen=True)
class Account:
    """One account that is wanted: an administrator, or one with the grants of its name."""

    name: str
    password: str = field(repr=False)
    is_admin: bool = False


@dataclass(frozen=True)
class Found:
    """What the database says of an account."""

    user_id: int | None = None
    password_hash: str = field(default="", repr=False)
    noted_hash: str = field(default="", repr=False)
    grants_missing: bool = False
    another_admin: bool = False


def wanted(environ: Mapping[str, str]) -> tuple[Account, ...]:
    """The accounts named by the environment: the administrator, and those whose passwords are given.

    Raises:
        HomeportError: SECRET_* without an administrator's password, ACCOUNT_INVALID for what MLflow would not take.
    """
    name = program.setting("MLFLOW_AUTH_ADMIN_USERNAME", "admin", environ)
    if ":" in name or not _VISIBLE.fullmatch(name):
        raise _invalid("MLFLOW_AUTH_ADMIN_USERNAME", "visible ASCII characters without a colon")
    found = [Account(name, _password("MLFLOW_AUTH_ADMIN_PASSWORD", environ), is_admin=True)]
    for account, variable in ((SERVING, "HOMEPORT_SERVING_PASSWORD"), (TRAINING, "HOMEPORT_TRAINING_PASSWORD")):
        if name == account:
            raise _invalid("MLFLOW_AUTH_ADMIN_USERNAME", f"another name: {account} is an account of the platform's own")
        if environ.get(variable) or environ.get(f"{variable}_FILE"):
            found.append(Account(account, _password(variable, environ)))
    return tuple(found)


def deeds(account: Account, found: Found, matches: Matches) -> tuple[Deed, ...]:
    """What an account needs; nothing when all is as it should be. Comparing a hash takes a tenth of a second."""
    if account.is_admin:
        return _for_admin(account.password, found, matches)
    if found.user_id is None:
        return (Deed.CREATE,)
    password = () if matches(found.password_hash, account.password) else (Deed.PASSWORD,)
    return (*password, Deed.GRANTS) if found.grants_missing else password


def _for_admin(password: str, found: Found, matches: Matches) -> tuple[Deed, ...]:
    same_secret = bool(found.noted_hash) and matches(found.noted_hash, password)
    if found.user_id is None:
        # Somebody deleted it, and it stays so, unless there would be nobody to let others in.
        return () if same_secret and found.another_admin else (Deed.CREATE,)
    if same_secret:
        return ()
    if found.noted_hash:
        return (Deed.PASSWORD,)  # the secret was changed
    if matches(found.password_hash, _LEGACY_PASSWORD):
        return (Deed.PASSWORD,)  # upstream lets nobody in with it
    return (Deed.NOTE,)  # it was there before the platform was


class Accounts:
    """MLflow's users in one database.

    Args:
        store: where they are.
        connection: to it, in autocommit mode; both chains of the schema are at head.
    """

    def __init__(self, store: BackendStore, connection: Connection) -> None:
        self._connection = connection
        self._mark = "?" if store.dialect == "sqlite" else "%s"

    def needs(self, accounts: Sequence[Account], *, notes: bool) -> list[tuple[Account, tuple[Deed, ...]]]:
        """What is to be done, account by account; empty when nothing is. `notes`: whether their table is there."""
        from werkzeug.security import check_password_hash

        found = [self._found(account, notes=notes) for account in accounts]
        with ThreadPoolExecutor(len(accounts)) as pool:  # hashing leaves the interpreter to others
            todo = pool.map(lambda account, seen: deeds(account, seen, check_password_hash), accounts, found)
        return [(account, needed) for account, needed in zip(accounts, todo, strict=True) if needed]

    def satisfy(self, account: Account, needed: Iterable[Deed]) -> None:
        """Do what an account needs. Interrupted anywhere, it is done from there the next time."""
        from werkzeug.security import check_password_hash, generate_password_hash

        hashed = generate_password_hash(account.password)
        for deed in needed:
            if deed is Deed.CREATE:
                insert = "INSERT INTO users (username, password_hash, is_admin) VALUES (?, ?, ?)"
                self._run(insert, account.name, hashed, account.is_admin)
            elif deed is Deed.PASSWORD:
                self._run("UPDATE users SET password_hash = ? WHERE username = ?", hashed, account.name)
            elif deed is Deed.NOTE:
                held = self._found(account, notes=False).password_hash
                hashed = held if check_password_hash(held, account.password) else hashed
        if account.is_admin:
            self._note(account.name, hashed)
        else:
            self._grant(account.name)

    def has_admin(self) -> bool:
        """Whether there is an administrator at all."""
        return bool(self._rows("SELECT 1 FROM users WHERE is_admin = ?", True))

    def kept(self, account: Account) -> bool:
        """Whether an administrator's password was changed in MLflow since it was set from the secret."""
        found = self._found(account, notes=True)
        return account.is_admin and found.user_id is not None and found.password_hash != found.noted_hash

    def _found(self, account: Account, *, notes: bool) -> Found:
        user = self._rows("SELECT id, password_hash FROM users WHERE username = ?", account.name)
        others = self._rows("SELECT count(*) FROM users WHERE is_admin = ? AND username <> ?", True, account.name)
        # The table's name is ours, and no value of anybody's.
        noted = self._rows(f"SELECT secret_hash FROM {_NOTES} WHERE username = ?", account.name) if notes else []  # noqa: S608
        return Found(
            user_id=user[0][0] if user else None,
            password_hash=str(user[0][1]) if user else "",
            noted_hash=str(noted[0][0]) if noted else "",
            grants_missing=not account.is_admin and bool(user) and bool(self._missing(account.name)),
            another_admin=bool(others[0][0]),
        )

    def _missing(self, name: str) -> list[str]:
        rows = self._rows(
            "SELECT p.resource_type FROM role_permissions p JOIN roles r ON r.id = p.role_id"
            " JOIN user_role_assignments a ON a.role_id = r.id JOIN users u ON u.id = a.user_id"
            " WHERE u.username = ? AND r.name = ? AND r.workspace = ? AND p.resource_pattern = '*'",
            name, name, _WORKSPACE,
        )  # fmt: skip
        return [kind for kind in _GRANTS[name] if (kind,) not in rows]

    def _grant(self, name: str) -> None:
        """A role of the account's name, with its grants; one that an administrator changed stays changed."""
        role = "SELECT id FROM roles WHERE name = ? AND workspace = ?"
        if not self._rows(role, name, _WORKSPACE):
            what = "What the platform's own account needs; Homeport restores it."
            self._run("INSERT INTO roles (name, workspace, description) VALUES (?, ?, ?)", name, _WORKSPACE, what)
        role_id = self._rows(role, name, _WORKSPACE)[0][0]
        user_id = self._rows("SELECT id FROM users WHERE username = ?", name)[0][0]
        held = "SELECT resource_type FROM role_permissions WHERE role_id = ? AND resource_pattern = '*'"
        present = self._rows(held, role_id)
        for kind, permission in _GRANTS[name].items():
            if (kind,) not in present:
                self._run(
                    "INSERT INTO role_permissions (role_id, resource_type, resource_pattern, permission)"
                    " VALUES (?, ?, '*', ?)",
                    role_id, kind, permission,
                )  # fmt: skip
        if not self._rows("SELECT 1 FROM user_role_assignments WHERE user_id = ? AND role_id = ?", user_id, role_id):
            self._run("INSERT INTO user_role_assignments (user_id, role_id) VALUES (?, ?)", user_id, role_id)

    def _note(self, name: str, hashed: str) -> None:
        self._run(
            f"CREATE TABLE IF NOT EXISTS {_NOTES}"
            " (username VARCHAR(255) NOT NULL PRIMARY KEY, secret_hash VARCHAR(255) NOT NULL)"
        )
        self._run(f"DELETE FROM {_NOTES} WHERE username = ?", name)  # noqa: S608 - the table's name is ours
        self._run(f"INSERT INTO {_NOTES} (username, secret_hash) VALUES (?, ?)", name, hashed)  # noqa: S608 - as above

    def _rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with contextlib.closing(self._connection.cursor()) as cursor:
            cursor.execute(statement.replace("?", self._mark), values)
            return [tuple(row) for row in cursor.fetchall()]

    def _run(self, statement: str, *values: object) -> None:
        with contextlib.closing(self._connection.cursor()) as cursor:
            cursor.execute(statement.replace("?", self._mark), values)


def check_prepared(backend_store_uri: str, patience: float) -> None:
    """See that the job of homeport.tracking.migrate has been here, so that somebody can log in.

    Raises:
        HomeportError: ACCOUNTS_MISSING, or DATABASE_* when it cannot be asked.
    """
    store = parse(backend_store_uri)
    with contextlib.closing(store.connect_patiently(patience)) as connection:
        found = schema.state(store, connection, schema.USERS)
        ready = found.revision == schema.head(schema.USERS)
        if ready and Accounts(store, connection).has_admin():
            return
    raise HomeportError(
        code="ACCOUNTS_MISSING",
        what="nobody could log in: the database has no administrator",
        evidence=(("needed", f"users at revision {schema.head(schema.USERS)}"), ("found", found.revision or "none")),
        why="the job that makes the accounts has not run with HOMEPORT_AUTH=basic on this database",
        fix="homeport up runs it; by itself it is: python -m homeport.tracking.migrate",
    )


def has_notes(tables: Iterable[str]) -> bool:
    """Whether a database with these tables has the one of the notes."""
    return _NOTES in tables


def _password(variable: str, environ: Mapping[str, str]) -> str:
    value = program.secret(variable, environ)
    if len(value) < _SHORTEST or not _VISIBLE.fullmatch(value) or value == _LEGACY_PASSWORD:
        raise _invalid(variable, f"at least {_SHORTEST} visible ASCII characters, not MLflow's old default")
    return value


def _invalid(variable: str, needed: str) -> HomeportError:
    return HomeportError(
        code="ACCOUNT_INVALID",
        what=f"{variable} is not usable",
        evidence=(("needed", needed),),
        why="MLflow or its clients would not take it",
        fix=f"change {variable}; an empty one in Homeport's own settings is generated",
        exit_code=ExitCode.USAGE,
    )
