"""The private MLflow server behind the front: connections to the unix sockets of its workers, which nobody else opens.

Requests go round the workers; one that does not listen is left out. Refuses to know what is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from homeport.tracking.front.wire import Connection

_QUESTION_SECONDS = 30.0
# The private server closes idle connections after KEEP_ALIVE; none is used for so long, so that none closes under a
# request that was just written.
KEEP_ALIVE, _IDLE_SECONDS = 75, 30.0
_MOST_IDLE = 64  # connections kept for each worker
_AGAIN = 0.05  # seconds between two looks whether the server listens by now
_OURS = {"host", "connection", "content-length", "transfer-encoding"}  # headers that a question gets from here
_MOST_WAITING = 256  # requests that wait for a server that is starting


class Reply(NamedTuple):
    """A whole response of the private server."""

    status: int
    body: bytes


class AwayError(ConnectionError):
    """No worker of the private server listens."""


class Private:
    """Connects to the private server.

    Args:
        sockets: paths of its workers' unix sockets.
        most_waiting: how many requests may wait for a server that is starting.
    """

    def __init__(self, sockets: Sequence[str], most_waiting: int = _MOST_WAITING) -> None:
        self._sockets = tuple(sockets)
        self._idle: dict[str, list[Connection]] = {socket: [] for socket in self._sockets}
        self._all: set[Connection] = set()
        self._turn = 0
        self._most_waiting = most_waiting
        self.waiting = 0
        self._looking: asyncio.Task[None] | None = None

    async def connect(self, patience: float = 0.0) -> tuple[str, Connection]:
        """A connection on which a request may be written, and the worker's socket.

        Args:
            patience: seconds to wait while nobody listens.

        Raises:
            AwayError: nobody listens; or too many wait for that already.
        """
        try:
            return await self._connect()
        except AwayError:
            if patience <= 0 or self.waiting >= self._most_waiting:
                raise
        self.waiting += 1
        try:
            async with asyncio.timeout(patience):
                while True:
                    await self._listening()
                    try:
                        return await self._connect()
                    except AwayError:
                        continue
        except TimeoutError as error:
            raise AwayError from error
        finally:
            self.waiting -= 1

    async def _connect(self) -> tuple[str, Connection]:
        now = asyncio.get_running_loop().time()
        self._turn += 1
        for step in range(len(self._sockets)):
            socket = self._sockets[(self._turn + step) % len(self._sockets)]
            idle = self._idle[socket]
            while idle:
                connection = idle.pop()
                if now - connection.idle_since < _IDLE_SECONDS and connection.alive():
                    return socket, connection
                connection.abort()
            try:
                return socket, await self._open(socket)
            except OSError:  # nobody there, or too many before us
                continue
        raise AwayError

    async def _open(self, socket: str) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_unix_connection(lambda: Connection(self._all.discard), socket)
        self._all.add(connection)
        return connection

    async def _listening(self) -> None:
        """Return once a worker listens; one looks for all who wait."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look())
        await asyncio.shield(self._looking)

    async def _look(self) -> None:
        while self.waiting:
            for socket in self._sockets:
                try:
                    self.release(socket, await self._open(socket), used=False)
                except OSError:
                    continue
                return
            await asyncio.sleep(_AGAIN)

    def release(self, socket: str, connection: Connection, *, used: bool = True) -> None:
        """Take a connection back, for another request or to end it."""
        idle = self._idle[socket]
        if (used and not connection.reusable) or len(idle) >= _MOST_IDLE:
            connection.abort()
            return
        connection.used = used
        connection.idle_since = asyncio.get_running_loop().time()
        idle.append(connection)

    async def ask(self, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Reply:
        """A short question: GET without a body, POST with one.

        Raises:
            OSError, TimeoutError: it does not answer.
        """
        async with asyncio.timeout(_QUESTION_SECONDS):
            socket, connection = await self.connect()
            return await self._put(socket, connection, _question(target, body, headers or {}))

    async def ask_all(self, target: str, body: bytes, headers: Mapping[str, str] | None = None) -> list[Reply]:
        """The same question to every worker; what those answer that do."""

        async def one(socket: str) -> Reply:
            async with asyncio.timeout(_QUESTION_SECONDS):
                return await self._put(socket, await self._open(socket), _question(target, body, headers or {}))

        found = await asyncio.gather(*map(one, self._sockets), return_exceptions=True)
        return [reply for reply in found if isinstance(reply, Reply)]

    async def _put(self, socket: str, connection: Connection, question: bytes) -> Reply:
        try:
            connection.begin("")
            connection.write(question)
            await connection.drain()
            connection.written = True
            status, _ = await connection.head()
            pieces = []
            while piece := await connection.piece():
                pieces.append(piece)
            return Reply(status, b"".join(pieces))
        finally:
            self.release(socket, connection)

    async def close(self) -> None:
        """End its connections."""
        if self._looking is not None:
            self._looking.cancel()
        for connection in tuple(self._all):
            connection.abort()


def _question(target: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
    lines = [f"{'GET' if body is None else 'POST'} {target} HTTP/1.1", "host: localhost"]
    lines += [f"{name}: {value}" for name, value in headers.items() if name.lower() not in _OURS]
    if body is not None:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join((*lines, "", "")).encode("latin-1") + (body or b"")
