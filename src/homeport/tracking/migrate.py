"""`python -m homeport.tracking.migrate`: the job that brings MLflow's schema to head, once, whoever else is trying.

Imports MLflow only when there is something to do, and while it holds the database's migration lock. What is done is
MLflow's own doing (mlflow 3.17.2, store/db/utils.py); when and whether is decided here.
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

from homeport import program
from homeport.errors import HomeportError
from homeport.tracking import schema
from homeport.tracking.backend_store import BackendStore, Connection, parse, rows
from homeport.tracking.schema import Step

_LOCK = int.from_bytes(b"homeport")  # PostgreSQL's advisory locks are 64-bit numbers of the database
_LONGEST_WAIT = 86400  # seconds, for MySQL, which has no "for ever"


def main() -> None:
    """Bring the schema to head and say in one line what was done."""
    store = parse(program.setting("MLFLOW_BACKEND_STORE_URI"))
    patience = program.number("HOMEPORT_DATABASE_TIMEOUT", 60.0)
    wanted, known = schema.head(), schema.revisions()
    _make_file(store)
    with contextlib.closing(store.connect_patiently(patience)) as connection:
        if schema.plan(schema.state(store, connection), known, wanted) is Step.NOTHING:
            _say(f"schema at head ({wanted})")
            return
        _wait_for_turn(store, connection)
        found = schema.state(store, connection)  # again: another process may have been first
        step = schema.plan(found, known, wanted)
        if step is Step.NOTHING:
            _say(f"schema at head ({wanted}), brought there by another process")
            return
        migrate(store, step)
        reached = schema.state(store, connection).revision
    if reached != wanted:
        raise _failed(store, f"revision {reached} instead of {wanted}")
    applied = schema.lineage(found.revision, wanted, known)
    if step is Step.CREATE:
        _say(f"schema created at {wanted} ({len(applied)} revisions)")
    else:
        _say(f"schema upgraded: {found.revision} -> {wanted} ({len(applied)} revisions): {', '.join(applied)}")


def migrate(store: BackendStore, step: Step) -> None:
    """Let MLflow create or upgrade the schema; what it says is shown only when it fails.

    Raises:
        HomeportError: SCHEMA_MIGRATION_FAILED.
    """
    os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true")
    said = io.StringIO()
    try:
        with _quiet(said):
            from mlflow.store.db import utils

            engine = utils.create_sqlalchemy_engine(store.uri)
            try:
                if step is Step.CREATE:
                    utils._initialize_tables(engine)  # what MLflow's server does with an empty database
                else:
                    utils._upgrade_db(engine)
            finally:
                engine.dispose()
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
