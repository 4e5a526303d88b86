"""`python -m homeport.serving.feedback.migrate`: the job that makes the prediction log's role, database and tables.

With an administrator's URI it makes a role and a database of serving's own, which open nothing of MLflow's; without
one only the tables, in the database that is named. Idempotent, and safe with any number of starters.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

from homeport import program
from homeport.errors import ExitCode, HomeportError
from homeport.serving.feedback import schema
from homeport.serving.feedback.database import ADMIN_URI, URI, Database, parse_uri

ROLE = "homeport_serving"
DATABASE = "homeport"
PASSWORD = "HOMEPORT_PREDICTION_PASSWORD"  # noqa: S105 - a variable's name

_LOCK = int.from_bytes(b"hp-roles")  # an advisory lock of the administrator's database


def main() -> None:
    """Make what is missing and say in one line what was done."""
    patience = program.number("HOMEPORT_DATABASE_TIMEOUT", 60.0)
    admin = os.environ.get(ADMIN_URI, "")
    if admin:
        database = provide(parse_uri(admin, ADMIN_URI), program.secret(PASSWORD), patience)
    else:
        database = parse_uri(program.setting(URI))
    with contextlib.closing(database.connect(patience)) as connection:
        found = schema.bring_to_head(database, connection)
    done = "at" if found == schema.HEAD else "created at" if found == 0 else f"upgraded from version {found} to"
    sys.stdout.write(f"prediction log {done} version {schema.HEAD}\n")


def provide(admin: Database, password: str, patience: float) -> Database:
    """Make sure of the role and the database; the database, as that role.

    Args:
        admin: any database of the server, as a user who may create roles and databases.
        password: the role's from now on.
        patience: seconds to wait for the server.

    Raises:
        HomeportError: DATABASE_* when it cannot be reached, PREDICTION_ROLE_* or PREDICTION_DATABASE_* when it refuses.
    """
    import psycopg2

    with contextlib.closing(admin.connect(patience)) as connection, contextlib.closing(connection.cursor()) as cursor:
        try:
            # Two at once would both find that there is no role.
            cursor.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
            _role(cursor, _hashed(connection, password))
            _database(cursor)
        except psycopg2.Error as error:
            raise _refused(admin, error) from error
    return admin.elsewhere(ROLE, password, DATABASE)


def _hashed(connection: Any, password: str) -> str:  # noqa: ANN401 - psycopg2 has no types
    # Hashed here, the password is in none of the server's logs and statistics.
    from psycopg2.extensions import encrypt_password

    return str(encrypt_password(password, ROLE, scope=connection, algorithm="scram-sha-256"))


def _role(cursor: Any, hashed: str) -> None:  # noqa: ANN401 - psycopg2 has no types
    cursor.execute("SELECT rolsuper OR rolname = current_user FROM pg_roles WHERE rolname = %s", (ROLE,))
    found = cursor.fetchone()
    if found is not None and found[0]:
        raise HomeportError(
            code="PREDICTION_ROLE_TAKEN",
            what=f'the database user "{ROLE}" is an administrator',
            evidence=(("needed", f'a user "{ROLE}" that owns nothing but the prediction log'),),
            why="serving would work with the rights of an administrator",
            fix="choose another POSTGRES_USER",
            exit_code=ExitCode.USAGE,
        )
    verb = "CREATE" if found is None else "ALTER"
    cursor.execute(f"{verb} ROLE {ROLE} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD %s", (hashed,))


def _database(cursor: Any) -> None:  # noqa: ANN401 - psycopg2 has no types
    cursor.execute("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s", (DATABASE,))
    found = cursor.fetchone()
    if found is None:
        # template0: nobody can be connected to it, which would make this fail.
        cursor.execute(f"CREATE DATABASE {DATABASE} OWNER {ROLE} TEMPLATE template0")
    elif found[0] != ROLE:
        raise HomeportError(
            code="PREDICTION_DATABASE_TAKEN",
            what=f'the database "{DATABASE}" belongs to somebody else',
            evidence=(("needed", f'owner "{ROLE}", or no such database'), ("found", f'owner "{found[0]}"')),
            why="the prediction log is not mixed with other data",
            fix=f"rename that database, or name another one for the log: {URI}",
            exit_code=ExitCode.USAGE,
        )
    # By default every user of a server may connect to every database.
    cursor.execute(f"REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC")


def _refused(admin: Database, error: Exception) -> HomeportError:
    words = str(error).strip().splitlines()
    return HomeportError(
        code="PREDICTION_DATABASE_REFUSED",
        what=f'the user "{admin.store.user}" could not make the prediction log\'s role and database',
        evidence=(("database", str(admin)), ("error", words[0] if words else type(error).__name__)),
        why="it may not create roles or databases",
        fix=f"create a role and a database for the log yourself and set {URI}, or HOMEPORT_PREDICTION_LOG=0",
    )


if __name__ == "__main__":
    program.run(main)
