"""What a database driver said, as an error a person can act on. Knows the drivers' words; refuses to know who asked.

A refused connection carries no SQLSTATE (libpq has no result to hold it), so the words are what there is.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Protocol

from homeport.errors import HomeportError

# Where the platform's own database is: on this machine, or the service of that name.
EMBEDDED = "HOMEPORT_DATABASE_EMBEDDED"  # set by who starts us: the database's data and secrets are in the home


class Place(Protocol):
    """What is said about the database in an error."""

    @property
    def host(self) -> str | None:
        """None: this machine."""

    @property
    def user(self) -> str | None:
        """Who connects."""

    @property
    def database(self) -> str:
        """The database's name, or the file of an SQLite one."""


@dataclass(frozen=True)
class _Row:
    words: re.Pattern[str]
    code: str
    what: str
    why: str
    fix: str
    passes: bool = False  # waiting may help


def _row(words: str, code: str, what: str, why: str, fix: str, *, passes: bool = False) -> _Row:
    return _Row(re.compile(words, re.IGNORECASE), code, what, why, fix, passes)


_ROWS = (
    _row(
        r"password authentication failed|no password supplied|role .* does not exist|\b1045\b|\b1698\b",
        "DATABASE_PASSWORD_REFUSED",
        'the database refuses the password of user "{user}"',
        "the user or the password in MLFLOW_BACKEND_STORE_URI is not the database's",
        "correct MLFLOW_BACKEND_STORE_URI",
    ),
    _row(
        r"database .* does not exist|\b1049\b",
        "DATABASE_MISSING",
        'there is no database "{database}"',
        "the server runs, and nobody has created that database in it",
        "create it (CREATE DATABASE), or correct the name in MLFLOW_BACKEND_STORE_URI",
    ),
    _row(
        r"no pg_hba\.conf entry|permission denied for database|\b1044\b|\b1130\b",
        "DATABASE_ACCESS_DENIED",
        'the database does not let user "{user}" in from this machine',
        "its access rules do not cover this user, this database or this address",
        "grant the access on the database server",
    ),
    _row(
        r"starting up|shutting down|in recovery mode|not yet accepting connections|server closed the connection"
        r"|Lost connection to (MySQL|MariaDB|server)|\b2013\b",
        "DATABASE_STARTING",
        "the database is not ready for connections",
        "it starts up, recovers, or shuts down",
        "wait for it and start again; its log says how far it is: homeport logs database",
        passes=True,
    ),
    _row(
        r"too many (clients|connections)|remaining connection slots|\b1040\b",
        "DATABASE_BUSY",
        "the database has no connection left",
        "other programs hold all it allows",
        "raise its max_connections, or lower MLFLOW_SQLALCHEMYSTORE_POOL_SIZE",
        passes=True,
    ),
    _row(
        r"could not translate host name|name or service not known|nodename nor servname|getaddrinfo failed",
        "DATABASE_UNKNOWN_HOST",
        'the database\'s host "{host}" is not known',
        "this machine cannot look the name up",
        "correct the host in MLFLOW_BACKEND_STORE_URI",
    ),
    _row(
        r"connection refused|\.s\.PGSQL\.\d+\" failed: No such file|\(2002,",
        "DATABASE_UNREACHABLE",
        "nobody answers at the database's address",
        "the database is not running, or its address is wrong",
        "start it (homeport status shows the embedded one), or correct MLFLOW_BACKEND_STORE_URI",
        passes=True,
    ),
    _row(
        r"SSL|TLS|certificate",
        "DATABASE_TLS",
        "no encrypted connection to the database could be agreed on",
        "one side requires what the other does not offer, or the certificate is not accepted",
        "set sslmode and sslrootcert (PostgreSQL) or MLFLOW_MYSQL_SSL_CA (MySQL)",
    ),
    _row(
        r"timeout expired|timed out|no route to host|network is unreachable|\b2003\b",
        "DATABASE_UNREACHABLE",
        "the database's host does not answer",
        "a firewall is in between, or the address is wrong",
        "correct the address in MLFLOW_BACKEND_STORE_URI, or open the way to it",
    ),
    _row(
        r"unable to open database file|readonly database",
        "DATABASE_NOT_WRITABLE",
        "the SQLite file {database} cannot be opened for writing",
        "its directory is missing, or belongs to another user, or is read-only",
        "make its directory writable, or correct MLFLOW_BACKEND_STORE_URI",
    ),
    _row(
        r"file is not a database|malformed",
        "DATABASE_DAMAGED",
        "{database} is not an SQLite database",
        "another file has that name, or the file was damaged",
        "restore your backup of it, or correct MLFLOW_BACKEND_STORE_URI",
    ),
)
_OTHER = _row(
    "",
    "DATABASE_FAILED",
    "the database could not be asked",
    "the driver's words are the evidence above",
    "look at the database's log: homeport logs database",
)


def is_starting(error: BaseException | None) -> bool:
    """Whether waiting may help: nobody listens yet, or the server says that it is not ready."""
    return error is not None and _find(str(error)).passes


def refusal(error: Exception, place: Place) -> HomeportError:
    """The error a person reads for what a driver raised."""
    row = _find(str(error))
    why, fix = row.why, row.fix
    if row.code == "DATABASE_PASSWORD_REFUSED" and os.environ.get(EMBEDDED) == "true":
        why = "data/database was created with another password"
        fix = "restore secrets/database-password, or start over: homeport down --volumes"
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    texts = {"user": place.user or "", "database": place.database, "host": place.host or ""}
    return HomeportError(
        code=row.code,
        what=row.what.format_map(texts),
        evidence=(("driver", lines[0] if lines else type(error).__name__),),
        why=why,
        fix=fix,
    )


def _find(said: str) -> _Row:
    return next((row for row in _ROWS if row.words.search(said)), _OTHER)
