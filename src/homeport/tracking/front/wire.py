"""One HTTP/1.1 connection to the private server, from the client's side: an exchange at a time, byte by byte.

Written on httptools, which uvicorn brings, because what is passed through must stay as it is: libraries write header
values as UTF-8, normalise paths, or hold whole messages. Refuses to know requests' meaning and who connects.
"""

from __future__ import annotations

import asyncio
import select
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import httptools

_MOST_BUFFERED = 256 * 1024  # bytes of an answer that its reader has not taken yet
_INTERIM = range(100, 200)
_WITHOUT_BODY = {204, 304}

Headers = list[tuple[bytes, bytes]]


class CutError(ConnectionError):
    """The private server ended the connection before its answer was whole."""


class Connection(asyncio.Protocol):
    """An open connection.

    Args:
        gone: called with it once it is closed.
    """

    def __init__(self, gone: Callable[[Connection], None]) -> None:
        self._gone = gone
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._full: asyncio.Future[None] | None = None  # the socket takes no more for now
        self._parser: Any = None
        self._lost = False
        self.used = False  # whether an exchange went well before this one
        self.idle_since = 0.0
        self.begin("GET")

    def begin(self, method: str) -> None:
        """Be ready for the answer to a request that is written next."""
        self._without_body = method == "HEAD"
        self._pieces: deque[bytes] = deque()
        self._buffered = 0
        self._headed = self._complete = self._keep = self._until_end = self._interim = False
        self.touched = False  # whether anything of the answer has come
        self.written = False  # whether the whole request was written; the caller says so
        self.status = 0
        self.headers: Headers = []
        self._parser = httptools.HttpResponseParser(self)

    # What the caller does

    def write(self, data: bytes) -> None:
        """Send a part of the request.

        Raises:
            CutError: the connection is closed.
        """
        if self._lost or self._transport is None:
            raise CutError
        self._transport.write(data)

    async def drain(self) -> None:
        """Wait while the server does not take what was written."""
        if self._full is not None:
            await self._full

    async def head(self) -> tuple[int, Headers]:
        """Status and headers of the answer.

        Raises:
            CutError: there will be none.
        """
        while not self._headed:
            if self._lost:
                raise CutError
            await self._more()
        return self.status, self.headers

    async def piece(self) -> bytes:
        """What has come of the body; empty at its end.

        Raises:
            CutError: the rest will not come.
        """
        while not self._pieces:
            if self._complete:
                return b""
            if self._lost:
                raise CutError
            await self._more()
        piece = b"".join(self._pieces) if len(self._pieces) > 1 else self._pieces[0]
        self._pieces.clear()
        if self._buffered > _MOST_BUFFERED and self._transport is not None and not self._lost:
            self._transport.resume_reading()
        self._buffered = 0
        return piece

    @property
    def answered(self) -> bool:
        """Whether the answer is whole, or nothing more of the request would be read."""
        return self._complete or (self._headed and not self._keep)

    @property
    def reusable(self) -> bool:
        """Whether another request may follow."""
        return self.written and self._complete and self._keep and not self._lost

    def alive(self) -> bool:
        """Whether an idle connection is still open at the other end, asked of the kernel."""
        if self._lost or self._transport is None or self._transport.is_closing():
            return False
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not poll.poll(0)  # readable while nobody was asked: its end, or nonsense

    def abort(self) -> None:
        """End it now; the server sees its client go."""
        if self._transport is not None:
            self._transport.abort()

    async def _more(self) -> None:
        self._waiting = self._loop.create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    # What the transport does

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Some bytes of the answer."""
        self.touched = True
        if self._complete:  # more than was asked for: whatever it is, it belongs to no request
            self.abort()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self._complete:
                self.abort()
        if self._buffered > _MOST_BUFFERED and self._transport is not None:
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed, by whomever."""
        self._lost = True
        if self._until_end and exc is None:
            self._complete = True
        self.resume_writing()
        self._wake()
        self._gone(self)

    def pause_writing(self) -> None:
        """The socket is full."""
        if self._full is None:
            self._full = self._loop.create_future()

    def resume_writing(self) -> None:
        """The socket takes more."""
        full, self._full = self._full, None
        if full is not None and not full.done():
            full.set_result(None)

    # What the parser finds

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """All headers."""
        self.status = self._parser.get_status_code()
        if self.status in _INTERIM:
            self._interim, self.headers = True, []
            return
        self._headed = True
        self._keep = self._parser.should_keep_alive()
        if self._without_body or self.status in _WITHOUT_BODY:
            self._complete = True
        else:
            self._until_end = not any(name in {b"content-length", b"transfer-encoding"} for name, _ in self.headers)

    def on_body(self, piece: bytes) -> None:
        """Some of the body."""
        self._pieces.append(piece)
        self._buffered += len(piece)

    def on_message_complete(self) -> None:
        """The end of an answer, or of what came before it."""
        if self._interim:
            self._interim = False
        else:
            self._complete = True
