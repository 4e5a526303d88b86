"""The database behind MLflow, reached by its driver directly: the URI MLflow is given, a connection, and why not.

SQLAlchemy and MLflow cost seconds to import; asking a database one question must not. The URI is read as SQLAlchemy
reads it. Refuses to know what is in the database.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import time
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import parse_qsl, quote, unquote

from homeport.errors import ExitCode, HomeportError
from homeport.tracking.refusal import is_starting, refusal

# sqlalchemy 2.1, engine/url.py `_parse_url`
_URI = re.compile(
    r"(?P<scheme>[\w+]+)://"
    r"(?:(?P<user>[^:/]*)(?::(?P<password>[^@]*))?@)?"
    r"(?:(?:\[(?P<ipv6>[^/?]+)\]|(?P<host>[^/:?]+))?(?::(?P<port>[^/?]*))?)?"
    r"(?:/(?P<database>[^?]*))?"
    r"(?:\?(?P<query>.*))?"
)
_POSTGRESQL, _MYSQL, _SQLITE = "postgresql", "mysql", "sqlite"
# scheme -> (dialect, module MLflow will need); SQLAlchemy 2.1 takes psycopg where none is named
_SCHEMES = {
    "postgresql": (_POSTGRESQL, "psycopg"),
    "postgresql+psycopg": (_POSTGRESQL, "psycopg"),
    "postgresql+psycopg2": (_POSTGRESQL, "psycopg2"),
    "mysql": (_MYSQL, "MySQLdb"),
    "mysql+mysqldb": (_MYSQL, "MySQLdb"),
    "mysql+pymysql": (_MYSQL, "pymysql"),
    "mariadb+pymysql": (_MYSQL, "pymysql"),
    "sqlite": (_SQLITE, "sqlite3"),
    "sqlite+pysqlite": (_SQLITE, "sqlite3"),
}
# What people and operators write -> what MLflow is tested with. SQLAlchemy 2.1 takes psycopg 3 where no driver is
# named; MLflow 3.17 relies on psycopg2's untyped parameters.
_DRIVERS = {
    "postgres": "postgresql+psycopg2",
    "postgresql": "postgresql+psycopg2",
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
}
_VARIABLE = "MLFLOW_BACKEND_STORE_URI"
_PACKAGES = {"MySQLdb": "mysqlclient", "psycopg2": "psycopg2-binary", "psycopg": "psycopg[binary]"}
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0  # seconds between two tries
# For libpq: after ten seconds without a sign of life a connection is over, whether something was sent (ms) or not (s).
NOTICED = {"tcp_user_timeout": 10_000, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}


class Connection(Protocol):
    """What is used of a DB-API 2.0 connection."""

    def cursor(self) -> Any:  # noqa: ANN401 - every driver has a class of its own
        """A cursor to run one statement with."""

    def close(self) -> None:
        """End the connection."""


@dataclass(frozen=True)
class BackendStore:
    """Where MLflow's tables are. Its text and its repr never show the password."""

    dialect: str
    uri: str = field(repr=False)
    user: str | None
    password: str | None = field(repr=False)
    host: str | None
    port: int | None
    database: str
    options: Mapping[str, str] = field(repr=False)

    @property
    def is_postgresql(self) -> bool:
        """Whether it is PostgreSQL, where a schema change is one transaction."""
        return self.dialect == _POSTGRESQL

    @property
    def is_mysql(self) -> bool:
        """Whether it is MySQL or MariaDB."""
        return self.dialect == _MYSQL

    @property
    def file(self) -> Path:
        """The file of an SQLite database."""
        return Path(self.database)

    def __str__(self) -> str:
        """The address for people."""
        if self.dialect == _SQLITE:
            return f"sqlite file {self.database}"
        port = f":{self.port}" if self.port else ""
        return f'{self.dialect} database "{self.database}" on {self.host or "this machine"}{port}'

    def connect(self, timeout: float = 5.0) -> Connection:
        """A connection in autocommit mode.

        Args:
            timeout: seconds, for connecting and (MySQL) for each answer.

        Raises:
            HomeportError: DATABASE_* with the driver's words as evidence.
        """
        try:
            return self._connect(timeout)
        except Exception as error:
            raise refusal(error, self) from error

    def connect_patiently(self, patience: float) -> Connection:
        """A connection; waits up to `patience` seconds while nobody listens yet or the server starts up.

        Raises:
            HomeportError: as `connect`; at once when waiting cannot help.
        """
        deadline, pause = time.monotonic() + patience, _FIRST_PAUSE
        while True:
            try:
                return self.connect()
            except HomeportError as error:
                if not is_starting(error.__cause__) or time.monotonic() + pause > deadline:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _connect(self, timeout: float) -> Connection:
        if self.is_postgresql:
            return self._connect_postgresql(timeout)
        if self.is_mysql:
            return self._connect_mysql(timeout)
        import sqlite3

        # rw: asking must not create a file where the name is wrong
        address = f"file:{quote(self.database)}?mode=rw"
        return sqlite3.connect(address, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False)

    def _connect_postgresql(self, timeout: float) -> Connection:
        # psycopg2 imports in a sixth of psycopg's time; both are libpq.
        name = "psycopg2" if importlib.util.find_spec("psycopg2") else "psycopg"
        arguments = {
            "connect_timeout": max(2, round(timeout)),
            "application_name": "homeport",
            **NOTICED,
            **self.options,
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "dbname": self.database,
        }
        connection = importlib.import_module(name).connect(**{k: v for k, v in arguments.items() if v is not None})
        connection.autocommit = True
        return cast("Connection", connection)

    def _connect_mysql(self, timeout: float) -> Connection:
        import pymysql

        tls = {
            name: self.options.get(name) or os.environ.get(f"MLFLOW_MYSQL_{name.upper()}")
            for name in ("ssl_ca", "ssl_cert", "ssl_key")
        }
        connection = pymysql.connect(
            host=self.host or "127.0.0.1",
            port=self.port or 3306,
            user=self.user,
            password=self.password or "",
            database=self.database,
            unix_socket=self.options.get("unix_socket"),
            connect_timeout=max(1, round(timeout)),
            autocommit=True,
            charset="utf8mb4",
            **{name: value for name, value in tls.items() if value},
        )
        return cast("Connection", connection)


def parse(uri: str) -> BackendStore:
    """The backend store a URI names.

    Raises:
        HomeportError: DATABASE_URI_INVALID, or DATABASE_DRIVER_MISSING when MLflow could not use it.
    """
    found = _URI.fullmatch(uri)
    if found is None:
        raise _invalid("it is not a URI", "DIALECT://USER:PASSWORD@HOST/DATABASE")
    if found["scheme"] not in _SCHEMES:
        raise _invalid(f'MLflow\'s database cannot be "{found["scheme"]}"', ", ".join(sorted(_SCHEMES)))
    dialect, module = _SCHEMES[found["scheme"]]
    database = unquote(found["database"] or "")
    if not database or (dialect == _SQLITE and (database == ":memory:" or database.startswith("file:"))):
        raise _invalid("it names no database that outlives this program", f"{found['scheme']}://.../DATABASE")
    port = found["port"] or ""
    if port and not port.isdecimal():
        raise _invalid("its port is not a number; special characters in a password are written as %XX", "HOST:PORT")
    _check_driver(found["scheme"], module)
    return BackendStore(
        dialect=dialect,
        uri=uri,
        user=unquote(found["user"]) if found["user"] else None,
        password=unquote(found["password"]) if found["password"] else None,
        host=found["ipv6"] or found["host"],
        port=int(port) if port else None,
        database=database,
        options=dict(parse_qsl(found["query"] or "")),
    )


def with_driver(uri: str) -> str:
    """The URI with the driver MLflow is tested with, where it names none."""
    scheme, separator, rest = uri.partition("://")
    return f"{_DRIVERS.get(scheme, scheme)}{separator}{rest}"


def name_driver(environ: MutableMapping[str, str]) -> None:
    """Do that to MLFLOW_BACKEND_STORE_URI, for this program and what it starts: a Secret has it as others write it."""
    if uri := environ.get(_VARIABLE):
        environ[_VARIABLE] = with_driver(uri)


def rows(connection: Connection, statement: str, parameters: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
    """All rows a statement answers."""
    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())


def _check_driver(scheme: str, module: str) -> None:
    if importlib.util.find_spec(module) is not None:
        return
    package = _PACKAGES.get(module, module)
    instead = "mysql+pymysql" if module == "MySQLdb" else "postgresql+psycopg2"
    raise HomeportError(
        code="DATABASE_DRIVER_MISSING",
        what=f"the driver for {scheme}:// is not installed",
        evidence=(("needed", f"Python module {module}"), ("found", "none")),
        why=f"MLflow reaches {scheme}:// through it",
        fix=f"write {instead}:// in MLFLOW_BACKEND_STORE_URI, or: pip install '{package}'",
        exit_code=ExitCode.USAGE,
    )


def _invalid(why: str, needed: str) -> HomeportError:
    # The URI itself holds a password and is not repeated.
    return HomeportError(
        code="DATABASE_URI_INVALID",
        what="MLFLOW_BACKEND_STORE_URI cannot be used",
        evidence=(("needed", needed),),
        why=why,
        fix="correct MLFLOW_BACKEND_STORE_URI, for example postgresql+psycopg2://mlflow:PASSWORD@HOST:5432/mlflow",
        exit_code=ExitCode.USAGE,
    )
