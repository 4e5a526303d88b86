"""The prediction log's tables, as ordered migrations that run in one transaction, one starter at a time.

A feedback lies beside the predictions and is joined when it is read: it may come before the prediction it belongs to
has been written. JSON is kept as it was sent (`json`, not `jsonb`): order of the columns and digits of the numbers.
"""

from __future__ import annotations

import contextlib
from typing import Any

from homeport.errors import HomeportError
from homeport.serving.feedback.database import Database

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE prediction (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        request_id text NOT NULL,
        row integer NOT NULL,
        at timestamptz NOT NULL,
        model text NOT NULL,
        version text NOT NULL,
        inputs json NOT NULL,
        prediction json NOT NULL,
        params json,
        UNIQUE (request_id, row)
    );
    CREATE INDEX prediction_at ON prediction (at, id);
    CREATE INDEX prediction_model_at ON prediction (model, at, id);
    CREATE TABLE feedback (
        request_id text NOT NULL,
        row integer NOT NULL,
        truth json NOT NULL,
        at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (request_id, row)
    );
    CREATE INDEX feedback_at ON feedback (at);
    CREATE TABLE shadow (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        request_id text NOT NULL,
        at timestamptz NOT NULL,
        model text NOT NULL,
        version text NOT NULL,
        shadow_version text NOT NULL,
        prediction json NOT NULL,
        shadow json NOT NULL,
        difference double precision,
        UNIQUE (request_id, shadow_version)
    );
    CREATE INDEX shadow_at ON shadow (at);
    CREATE INDEX shadow_model_at ON shadow (model, at);
    """,
)
HEAD = len(MIGRATIONS)

_LOCK = int.from_bytes(b"hp-serve")  # PostgreSQL's advisory locks are 64-bit numbers of the database


def version(connection: Any) -> int:  # noqa: ANN401 - psycopg2 has no types
    """How many of the migrations a database has; 0 when it has none of ours."""
    with contextlib.closing(connection.cursor()) as cursor:
        # Not to_regclass: a session remembers that there was no such table, also while it waits for its turn.
        cursor.execute("SELECT FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'schema_version'")
        if not cursor.rowcount:
            return 0
        cursor.execute("SELECT coalesce(max(version), 0) FROM schema_version")
        return int(cursor.fetchone()[0])


def bring_to_head(database: Database, connection: Any) -> int:  # noqa: ANN401 - psycopg2 has no types
    """Run what is missing, all or nothing; the version it had before.

    Args:
        database: for errors.
        connection: to that database, in autocommit mode.

    Raises:
        HomeportError: PREDICTION_SCHEMA_NEWER or PREDICTION_SCHEMA_FAILED; the database is as before.
    """
    import psycopg2

    try:
        found = version(connection)
        if found < HEAD:
            with contextlib.closing(connection.cursor()) as cursor:
                cursor.execute("BEGIN")
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                found = version(connection)  # again: another process may have been first
                _run_since(cursor, found)
                cursor.execute("COMMIT")
    except psycopg2.Error as error:
        with contextlib.suppress(psycopg2.Error), contextlib.closing(connection.cursor()) as cursor:
            cursor.execute("ROLLBACK")
        raise _failed(database, error) from error
    if found > HEAD:
        raise HomeportError(
            code="PREDICTION_SCHEMA_NEWER",
            what="the prediction log's tables were made by a newer Homeport",
            evidence=(
                ("database", str(database)),
                ("needed", f"version {HEAD} or an earlier one"),
                ("found", f"version {found}"),
            ),
            why="a schema is never taken back",
            fix="install the newer Homeport again, or name another database",
        )
    return found


def _run_since(cursor: Any, found: int) -> None:  # noqa: ANN401 - psycopg2 has no types
    if found >= HEAD:
        return
    cursor.execute(
        "CREATE TABLE IF NOT EXISTS schema_version (version integer PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())"
    )
    for number, statements in enumerate(MIGRATIONS[found:], found + 1):
        cursor.execute(statements)
        cursor.execute("INSERT INTO schema_version (version) VALUES (%s)", (number,))


def _failed(database: Database, error: Exception) -> HomeportError:
    words = str(error).strip().splitlines()
    return HomeportError(
        code="PREDICTION_SCHEMA_FAILED",
        what="the prediction log's tables could not be made",
        evidence=(("database", str(database)), ("error", words[0] if words else type(error).__name__)),
        why="tables of another program have the same names, or the user may not make any; nothing was changed",
        fix="name a database of the log's own, which its user owns",
    )
