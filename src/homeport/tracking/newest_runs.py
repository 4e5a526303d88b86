"""An index of ours on MLflow's table of runs: those of an experiment by when they started.

MLflow's schema (3.17.2) has none, so PostgreSQL reads the runs of every experiment for the first page of one. What is
answered is the same without it; whoever does not want it drops it, until the next start. Refuses to know who searches:
the expression is said here once, for the statements in `fast/reads/plans.py` and `planning.py` that it must match.
"""

from __future__ import annotations

import contextlib

from homeport.tracking.backend_store import BackendStore, Connection, rows

NAME = "homeport_newest_runs"
NEVER = 2**63 - 1
"""When a run started that says nothing of it: last of all, so that no lower bound leaves it out."""
_PATIENCE = "5s"  # for writers that are at it; others wait behind it as long
_THERE = """SELECT count(*) FROM pg_index WHERE indrelid = to_regclass('runs')
    AND indexrelid = (SELECT oid FROM pg_class WHERE relname = %s AND relnamespace =
        (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('runs')))"""
_MAKE = f"""BEGIN; SET LOCAL lock_timeout = '{_PATIENCE}';
    CREATE INDEX IF NOT EXISTS {NAME} ON runs (experiment_id, coalesce(start_time, {NEVER})); COMMIT"""
# An expression has no statistics before somebody looks. Not at a small table: what is said of an empty one holds until
# the next look a minute later, and the run of each new tag is searched for by reading all of them.
_LOOK = "ANALYZE runs"
_MANY = "SELECT count(*) > 1000 FROM (SELECT FROM runs LIMIT 1001) AS few"


def wanted(store: BackendStore, connection: Connection) -> bool:
    """Whether the index is missing where it would be used: on PostgreSQL, with MLflow's tables."""
    if not store.is_postgresql or rows(connection, "SELECT to_regclass('runs') IS NULL")[0][0]:
        return False
    return not rows(connection, _THERE, (NAME,))[0][0]


def make(connection: Connection) -> str:
    """Make the index; why it could not be made, or nothing. Writing to `runs` waits meanwhile: a second per million.

    Args:
        connection: in autocommit; it holds the migration lock, and is not used any more where this failed.
    """
    with contextlib.closing(connection.cursor()) as cursor:
        try:
            cursor.execute(_MAKE)
            if rows(connection, _MANY)[0][0]:
                cursor.execute(_LOOK)
        except Exception as error:  # each driver has classes of its own, and this is never worth a failure
            return str(error).strip().splitlines()[0]
    return ""
