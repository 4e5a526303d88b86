"""Connections to MLflow's database for the fast lane: asyncpg's pool, made from the URL that SQLAlchemy gets.

Refuses to know tables.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import asyncpg

from homeport.tracking.backend_store import NOTICED

POOL = 8  # connections; group commit needs few, and PostgreSQL serves few better than many
_COMMAND_SECONDS = 60.0
_CONNECT_SECONDS = 10.0
_PASSED_ON = {"sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "application_name", "options", "host", "port"}
_SIGNS = (
    ("TCP_USER_TIMEOUT", NOTICED["tcp_user_timeout"]), ("TCP_KEEPIDLE", NOTICED["keepalives_idle"]),
    ("TCP_KEEPINTVL", NOTICED["keepalives_interval"]), ("TCP_KEEPCNT", NOTICED["keepalives_count"]),
)  # fmt: skip

Row = Any  # asyncpg.Record, which is not generic
Connection = Any  # a pooled asyncpg connection

# The connection is gone or cannot be had. Of asyncpg's InterfaceErrors the ValueErrors are about arguments: `is_away`.
_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)
# Nothing was written and the same may succeed at once.
_AGAIN = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
    asyncpg.InvalidCachedStatementError,
    asyncpg.OutdatedSchemaCacheError,
)


def is_away(error: BaseException) -> bool:
    """Whether the database could not be asked, or did not say what became of it."""
    return isinstance(error, _AWAY) and not isinstance(error, ValueError)


def is_lost(connection: Connection) -> bool:
    """Whether a connection is known to be gone; then the pool has taken it back and it says nothing else."""
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        return True


def is_refusal(error: BaseException) -> bool:
    """Whether the database refused the values themselves, as it would MLflow's."""
    return isinstance(error, asyncpg.IntegrityConstraintViolationError | asyncpg.DataError)


def is_passing(error: BaseException) -> bool:
    """Whether the database rolled back for a reason that passes: deadlock, serialization, a plan gone stale."""
    return isinstance(error, _AGAIN)


def is_raced(error: BaseException) -> bool:
    """Whether another server may just have inserted the same row, which the next attempt would see."""
    return isinstance(error, asyncpg.UniqueViolationError)


class UnsupportedUrlError(ValueError):
    """The fast lane cannot use this database; says why."""


def dsn(url: str) -> str:
    """The address as libpq writes it.

    Raises:
        UnsupportedUrlError: not PostgreSQL, or a parameter that only psycopg2 knows.
    """
    parts = urlsplit(url)
    if parts.scheme.partition("+")[0] not in {"postgresql", "postgres"}:
        raise UnsupportedUrlError(f"the database is {parts.scheme.partition('+')[0] or 'not named'}, not PostgreSQL")
    unknown = sorted({name for name, _ in parse_qsl(parts.query)} - _PASSED_ON)
    if unknown:
        raise UnsupportedUrlError(f"the database's address has parameters it does not know: {', '.join(unknown)}")
    return parts._replace(scheme="postgresql").geturl()


async def notice_loss(connection: Connection) -> None:
    """Let it end after ten seconds without a sign of life from the other side, as MLflow's own do (`NOTICED`).

    asyncpg 0.32 has no setting for it; its transport is a private name, held by tests/programs/tracking/fast.
    """
    wire = connection._transport.get_extra_info("socket")
    if wire is None or wire.family == socket.AF_UNIX:
        return
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _SIGNS:
        if (number := getattr(socket, option, None)) is not None:  # not everywhere
            wire.setsockopt(socket.IPPROTO_TCP, number, value)


async def _nothing_to_reset(_: Connection) -> None:
    """Between two uses nothing is reset: nothing here changes a session, and asking would cost a round trip."""


class Database:
    """A pool that connects when first used and again after the database was away."""

    def __init__(self, url: str, size: int = POOL) -> None:
        self._dsn = dsn(url)
        self.name = unquote(urlsplit(url).path.lstrip("/"))
        self._size = size
        self._pool: Any = None

    async def open(self) -> None:
        """Connect.

        Raises:
            OSError, asyncpg.PostgresError: the database does not answer, or refuses.
        """
        if self._pool is None:
            self._pool = await asyncpg.create_pool(
                self._dsn,
                min_size=1,
                max_size=self._size,
                timeout=_CONNECT_SECONDS,
                command_timeout=_COMMAND_SECONDS,
                reset=_nothing_to_reset,
                init=notice_loss,
                # Plans for hundreds of arrays must not be made anew for each length. PostgreSQL writes the texts of
                # numbers, which must be exact, also where somebody wants them rounded.
                server_settings={
                    "application_name": "homeport-fast-lane",
                    "jit": "off",
                    "plan_cache_mode": "auto",
                    "extra_float_digits": "1",
                },
            )

    async def close(self) -> None:
        """End all connections; what is under way is finished first."""
        pool, self._pool = self._pool, None
        if pool is not None:
            with contextlib.suppress(TimeoutError):
                await pool.close()

    async def acquire(self) -> Connection:
        """A connection, not in a transaction, until it is released.

        Raises:
            asyncpg.InterfaceError: the pool is closed.
            OSError, TimeoutError, asyncpg.PostgresError: there is none to be had.
        """
        if self._pool is None:
            raise asyncpg.InterfaceError("the fast lane's pool is closed")
        return await self._pool.acquire()

    async def release(self, connection: Connection) -> None:
        """Give it back, also one that was lost."""
        if self._pool is not None:
            await self._pool.release(connection)

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection, not in a transaction.

        Raises:
            asyncpg.InterfaceError: the pool is closed.
        """
        connection = await self.acquire()
        try:
            yield connection
        finally:
            await self.release(connection)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection in a transaction that is committed at the end."""
        async with self._pool.acquire() as connection, connection.transaction():
            yield connection

    async def rows(self, statement: str, *values: object) -> Sequence[Row]:
        """All rows of one statement."""
        async with self._pool.acquire() as connection:
            found: Sequence[Row] = await connection.fetch(statement, *values)
            return found

    async def row(self, statement: str, *values: object) -> Row | None:
        """The first row of one statement."""
        async with self._pool.acquire() as connection:
            return await connection.fetchrow(statement, *values)

    @property
    def size(self) -> tuple[int, int]:
        """(connections open, of those idle)."""
        return (self._pool.get_size(), self._pool.get_idle_size()) if self._pool else (0, 0)
