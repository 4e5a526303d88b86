"""MLflow's schemas for a PostgreSQL without them, written down: what MLflow's migrations end with, in half a second.

MLflow takes four seconds for it: it is imported, and then goes through every revision since 2018. The statements are
made of what MLflow itself made (tools/prepared_schema.py), a test makes both and compares the databases whole. Used for
exactly the MLflow they were made with; every other one migrates by itself. Refuses to know upgrades.
"""

from __future__ import annotations

import contextlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from homeport.tracking import schema
from homeport.tracking.backend_store import BackendStore, Connection

_DIRECTORY = Path(__file__).with_name("schemas")


def file(chain: schema.Chain = schema.RUNS) -> Path:
    """Where a schema of the installed MLflow is, or would be."""
    try:
        installed = version("mlflow")
    except PackageNotFoundError:
        installed = "none"
    return _DIRECTORY / f"mlflow-{installed}-{schema.head(chain)}.sql"


def create(store: BackendStore, connection: Connection, chain: schema.Chain = schema.RUNS) -> bool:
    """Create a schema in a database that has none of its tables, in one transaction; whether it was done.

    Args:
        store: which database.
        connection: to it, in autocommit; it holds the migration lock.
        chain: which schema.

    Raises:
        psycopg2.Error: the database refused a statement; nothing is left of them.
    """
    statements = file(chain)
    if not store.is_postgresql or not statements.is_file():
        return False
    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute("BEGIN")
        try:
            cursor.execute(statements.read_text(encoding="utf-8"))
        except BaseException:
            cursor.execute("ROLLBACK")
            raise
        cursor.execute("COMMIT")
    return True
