"""Tells other servers on the same database that users or permissions changed, and hears it from them (LISTEN, NOTIFY).

Refuses to know what is remembered of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from typing import Any

import asyncpg

from homeport.tracking.fast.database import UnsupportedUrlError, dsn

CHANNEL = "homeport_permissions"
_AGAIN_SECONDS = 1.0
_ECHO_SECONDS = 3.0
_BEAT_SECONDS, _BEAT_TIMEOUT = 2.0, 3.0  # one that hears nothing any more knows it after five seconds
_TIMEOUT = 5.0
_ERRORS = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
_NOTIFY = "select pg_notify($1, $2)"


class Changes:
    """One server's end.

    Args:
        url: MLflow's database, as SQLAlchemy is told.
        heard: called when others changed something, and whenever that may have been missed.
    """

    def __init__(self, url: str, heard: Callable[[], None]) -> None:
        self.listening = False
        self.heard = heard
        self._name = secrets.token_hex(8)
        self._echo: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None
        self._alone = url.startswith("sqlite")
        try:
            self._dsn = dsn(url)
        except UnsupportedUrlError:
            self._dsn = ""

    @property
    def alone(self) -> bool:
        """Whether no server on another host can be on this database: it is a file."""
        return self._alone

    def start(self) -> None:
        """Begin to listen; again, if need be."""
        if self._dsn and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._listen())

    async def tell(self) -> None:
        """Tell the others; what they remember ends by itself soon, so it is tried once."""
        if not self._dsn:
            return
        with contextlib.suppress(*_ERRORS):
            connection = await self._connect()
            try:
                await connection.execute(_NOTIFY, CHANNEL, self._name)
            finally:
                connection.terminate()

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(*_ERRORS):
                connection = await self._connect()
                try:
                    await self._stay(connection)
                finally:
                    connection.terminate()
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _stay(self, connection: Any) -> None:  # noqa: ANN401 - asyncpg is untyped
        ended, self._echo = asyncio.Event(), asyncio.Event()
        connection.add_termination_listener(lambda _: ended.set())
        try:
            await connection.add_listener(CHANNEL, self._said)
            # A pooler between may take LISTEN and deliver nothing: believed when an own word comes back.
            await connection.execute(_NOTIFY, CHANNEL, self._name)
            async with asyncio.timeout(_ECHO_SECONDS):
                await self._echo.wait()
            self.heard()
            self.listening = True
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_BEAT_SECONDS):
                        await ended.wait()
                        return
                await connection.execute("select 1", timeout=_BEAT_TIMEOUT)
        finally:
            self.listening = False
            self.heard()

    def _said(self, _connection: object, _process: int, _channel: str, name: str) -> None:
        if name != self._name:
            self.heard()
        elif self._echo is not None:
            self._echo.set()

    async def _connect(self) -> Any:  # noqa: ANN401 - as above
        return await asyncpg.connect(
            self._dsn,
            timeout=_TIMEOUT,
            command_timeout=_TIMEOUT,
            server_settings={"application_name": "homeport-permissions"},
        )
