"""`python -m homeport.tracking.migrate`: the job that brings MLflow's schemas to head, once, whoever else is trying.

Imports MLflow only when there is something to upgrade, and while it holds the database's migration lock. What is done
is MLflow's own doing (mlflow 3.17.2, store/db/utils.py), or for an empty database what that ends with (prepared.py);
when and whether is decided here.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from homeport import program
from homeport.errors import HomeportError
from homeport.exposure import Authentication, authentication
from homeport.tracking import accounts, newest_runs, prepared, schema, upstream
from homeport.tracking.accounts import Account, Deed
from homeport.tracking.backend_store import BackendStore, Connection, name_driver, parse, rows
from homeport.tracking.schema import USERS, Step

_LOCK = int.from_bytes(b"homeport")  # PostgreSQL's advisory locks are 64-bit numbers of the database
_LONGEST_WAIT = 86400  # seconds, for MySQL, which has no "for ever"


def main() -> None:
    """Bring the schema to head, and the accounts of the platform into it, and say in one line what was done."""
    name_driver(os.environ)
    store = parse(program.setting("MLFLOW_BACKEND_STORE_URI"))
    patience = program.number("HOMEPORT_DATABASE_TIMEOUT", 60.0)
    wanted = accounts.wanted(os.environ) if authentication() is Authentication.BASIC else ()
    _make_file(store)
    with contextlib.closing(store.connect_patiently(patience)) as connection:
        job = _Job(store, connection, wanted)
        before = job.look()
        if before.done and not newest_runs.wanted(store, connection):
            _say(f"schema at head ({schema.head()}){job.users_line(())}")
            return
        _wait_for_turn(store, connection)
        now = job.look()  # again: another process may have been first
        runs = job.bring_runs(now)
        users = job.bring_users(now)
        if newest_runs.wanted(store, connection) and (why := newest_runs.make(connection)):
            sys.stderr.write(f"searches of runs go without the index {newest_runs.NAME}: {why}\n")
    raced = before.runs is not Step.NOTHING and now.runs is Step.NOTHING
    _say(f"{runs}{', brought there by another process' if raced else ''}{users}")


@dataclass(frozen=True)
class _Look:
    """What is to be done, seen at one moment."""

    runs: Step
    revision: str | None
    users: Step = Step.NOTHING
    accounts: tuple[tuple[Account, tuple[Deed, ...]], ...] = ()

    @property
    def done(self) -> bool:
        return self.runs is Step.NOTHING and self.users is Step.NOTHING and not self.accounts


class _Job:
    """What this job looks at and changes; without wanted accounts only the schema of runs and models."""

    def __init__(self, store: BackendStore, connection: Connection, wanted: tuple[Account, ...]) -> None:
        self._store = store
        self._connection = connection
        self._wanted = wanted

    def look(self) -> _Look:
        found = schema.state(self._store, self._connection)
        runs = schema.plan(found, schema.revisions(), schema.head())
        if not self._wanted:
            return _Look(runs, found.revision)
        users = schema.plan_users(self._users(), schema.revisions(USERS), schema.head(USERS))
        needed = self._needed() if users is Step.NOTHING else ()
        return _Look(runs, found.revision, users, needed)

    def bring_runs(self, look: _Look) -> str:
        """Bring the schema of runs and models to head; what was done."""
        wanted = schema.head()
        if look.runs is Step.NOTHING:
            return f"schema at head ({wanted})"
        # An initialisation that was interrupted leaves tables, and is MLflow's to finish.
        new = look.runs is Step.CREATE and not schema.state(self._store, self._connection).tables
        if not (new and self._prepared(schema.RUNS)):
            migrate(self._store, look.runs)
        reached = schema.state(self._store, self._connection).revision
        if reached != wanted:
            raise _failed(self._store, f"revision {reached} instead of {wanted}")
        applied = schema.lineage(look.revision, wanted, schema.revisions())
        if look.runs is Step.CREATE:
            return f"schema created at {wanted} ({len(applied)} revisions)"
        return f"schema upgraded: {look.revision} -> {wanted} ({len(applied)} revisions): {', '.join(applied)}"

    def _prepared(self, chain: schema.Chain) -> bool:
        """Whether a schema was created from what is written down; else MLflow itself is to do it."""
        try:
            return prepared.create(self._store, self._connection, chain)
        except Exception as error:  # each driver has classes of its own; what is really wrong, MLflow will say
            sys.stderr.write(f"the prepared schema was refused, MLflow migrates by itself: {error}\n")
            return False

    def bring_users(self, look: _Look) -> str:
        """Bring the schema of users to head and the accounts into it; what was done."""
        if not self._wanted:
            return ""
        if look.users is not Step.NOTHING:
            self._clear_half_made()
            new = look.users is Step.CREATE and USERS.table not in self._users().tables
            if not (new and self._prepared(USERS)):
                migrate(self._store, look.users, USERS)
            reached = self._users().revision
            if reached != schema.head(USERS):
                raise _failed(self._store, f"users at revision {reached} instead of {schema.head(USERS)}")
        needed = self._needed()
        for account, deeds in needed:
            accounts.Accounts(self._store, self._connection).satisfy(account, deeds)
        return self.users_line(needed)

    def users_line(self, done: tuple[tuple[Account, tuple[Deed, ...]], ...]) -> str:
        """The part of the line that tells of accounts."""
        if not self._wanted:
            return ""
        said = [f"{account.name} {' and '.join(deeds)}" for account, deeds in done]
        there = accounts.Accounts(self._store, self._connection)
        if not done and any(there.kept(account) for account in self._wanted):
            said = [f"{self._wanted[0].name} {Deed.NOTE}"]
        return f"; users: {', '.join(said) if said else 'as they were'}"

    def _clear_half_made(self) -> None:
        """Remove what a first revision left that was interrupted, where a database cannot take that back itself."""
        found = self._users()
        if found.revision is not None or USERS.table not in found.tables:
            return
        for table in (name for name in schema.FIRST_USER_TABLES if name in found.tables):
            if rows(self._connection, f"SELECT count(*) FROM {table}")[0][0]:  # noqa: S608 - upstream's names
                raise _failed(self._store, f"{table} has rows, and no revision is noted down")
            with contextlib.closing(self._connection.cursor()) as cursor:
                cursor.execute(f"DROP TABLE {table}")

    def _users(self) -> schema.State:
        return schema.state(self._store, self._connection, USERS)

    def _needed(self) -> tuple[tuple[Account, tuple[Deed, ...]], ...]:
        notes = accounts.has_notes(self._users().tables)
        return tuple(accounts.Accounts(self._store, self._connection).needs(self._wanted, notes=notes))


def migrate(store: BackendStore, step: Step, chain: schema.Chain = schema.RUNS) -> None:
    """Let MLflow create or upgrade a schema; what it says is shown only when it fails.

    Raises:
        HomeportError: SCHEMA_MIGRATION_FAILED, or AUTHENTICATION_NOT_INSTALLED.
    """
    os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true")
    said = io.StringIO()
    try:
        with _quiet(said):
            from mlflow.store.db import utils

            engine = utils.create_sqlalchemy_engine(store.uri)
            try:
                if chain is USERS:
                    upstream.migrate_users(engine)
                elif step is Step.CREATE:
                    utils._initialize_tables(engine)  # what MLflow's server does with an empty database
                else:
                    utils._upgrade_db(engine)
            finally:
                engine.dispose()
    except HomeportError:
        raise
    except Exception as error:
        sys.stderr.write(said.getvalue())
        traceback.print_exc()
        raise _failed(store, traceback.format_exception_only(error)[-1].strip().splitlines()[0]) from error


def _wait_for_turn(store: BackendStore, connection: Connection) -> None:
    """Take the migration lock; it goes with the connection or the process, whatever happens to them."""
    if store.is_postgresql:
        if not rows(connection, "SELECT pg_try_advisory_lock(%s)", (_LOCK,))[0][0]:
            _say_waiting()
            rows(connection, "SELECT pg_advisory_lock(%s)", (_LOCK,))
    elif store.is_mysql:
        # MySQL's locks are the server's, so the name says which database; at most 64 characters.
        name = "homeport." + hashlib.sha256(store.database.encode()).hexdigest()[:32]
        if rows(connection, "SELECT GET_LOCK(%s, 0)", (name,))[0][0] != 1:
            _say_waiting()
            rows(connection, "SELECT GET_LOCK(%s, %s)", (name, _LONGEST_WAIT))
    else:
        # On the directory, not on the file: SQLite's own locks on it are of another kind, and no file is left behind.
        held = os.open(store.file.absolute().parent, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say_waiting()
            fcntl.flock(held, fcntl.LOCK_EX)


@contextlib.contextmanager
def _quiet(said: io.StringIO) -> Iterator[None]:
    """Collect what is printed and logged."""
    with (
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        handler = logging.StreamHandler(said)
        logging.getLogger().addHandler(handler)
        try:
            yield
        finally:
            logging.getLogger().removeHandler(handler)


def _make_file(store: BackendStore) -> None:
    if store.dialect == "sqlite":
        try:
            store.file.parent.mkdir(parents=True, exist_ok=True)
            store.file.touch()
        except OSError as error:
            raise HomeportError(
                code="DATABASE_NOT_WRITABLE",
                what=f"the SQLite file {store.file} cannot be made",
                evidence=(("error", error.strerror or str(error)),),
                why="its directory belongs to another user, is read-only, or something else has its name",
                fix="make it, or correct MLFLOW_BACKEND_STORE_URI",
            ) from error


def _failed(store: BackendStore, detail: str) -> HomeportError:
    undone = "the migration was one transaction and was taken back whole; the data is as before"
    half = "this database cannot take a migration back; it may be half done"
    return HomeportError(
        code="SCHEMA_MIGRATION_FAILED",
        what="MLflow's schema could not be brought to head",
        evidence=(("database", str(store)), ("error", detail)),
        why=undone if store.is_postgresql else half,
        fix="mend what the error names and start again (homeport up), or restore a backup of the database",
    )


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _say_waiting() -> None:
    sys.stderr.write("another process migrates this database; waiting for it\n")


if __name__ == "__main__":
    program.run(main)
