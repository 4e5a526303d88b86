"""Passes a request on to the private MLflow server, and its answer back, byte by byte as they come.

What MLflow sees is what it would see if clients came in directly: the same path, query and headers, and in a header
of ours who asks (`tracking/near.py`). Refuses to know what is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Any, NamedTuple

import orjson

from homeport.tracking.front.private import AwayError, Private
from homeport.tracking.front.wire import Connection, CutError, Headers
from homeport.tracking.near import PEER, told

# What belongs to one connection and not to the message (RFC 9110, 7.6.1); the body's frame is written anew, and
# `expect` is answered here. Names listed in `connection` stay: a client could else take the headers of a gateway away.
_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"upgrade", b"expect", b"transfer-encoding", PEER}
)
# The frame stays, for uvicorn to write it again; date and server it says itself.
_NOT_BACK = (_HOP - {b"transfer-encoding"}) | {b"date", b"server"}
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})  # may be asked twice
_DYING = 1.0  # seconds from a connection's end in which its worker may still seem to listen
_AGAIN = 0.02
_PATIENCE = 30.0  # seconds a request waits for a server that is starting
_STARTING = "MLflow is starting or restarting, and nothing was done; try again"
_ENDED = "MLflow ended while it worked on this request, and it is not known whether it was done; look, then try again"


class Passed(NamedTuple):
    """How a request went."""

    status: int  # 0: the client went away before
    sent: int  # bytes of the answer's body


class _GoneError(Exception):
    """The client went away."""


class _Client:
    """The client's half of an exchange: its body on the way to the server, and whether it is still there.

    Args:
        receive: ASGI's.
        framing: how its body comes: by `chunked`, by a length or not at all (empty).
        read: the whole body, where it was read already.
    """

    def __init__(self, receive: Any, framing: bytes, read: bytes | None) -> None:  # noqa: ANN401 - ASGI's
        self._receive = receive
        self._framing = framing
        self.read = b"" if not framing and read is None else read
        self.gone = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None

    def start(self, connection: Connection | None = None) -> None:
        """Send the body there, and watch; without a connection only watch, if there is no body to keep."""
        self.stop()
        if connection is not None or self.read is not None:
            self._task = asyncio.get_running_loop().create_task(self._run(connection))

    def stop(self) -> None:
        """No longer watch."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self, connection: Connection | None) -> None:
        if connection is not None:
            with contextlib.suppress(CutError):  # its answer may have come before, or tells it
                await self._send(connection)
        while not self.gone.done():
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._leave(connection)

    async def _send(self, connection: Connection) -> None:
        more, whole = True, True
        while more:
            if self.read is not None:
                piece, more = self.read, False
            else:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    self._leave(connection)
                    return
                piece, more = message.get("body", b""), message.get("more_body", False)
            if connection.answered:  # early; what is left of the body nobody would read
                whole = False
                continue
            if self._framing == b"chunked":
                piece = (b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b"") + (b"" if more else b"0\r\n\r\n")
            if piece:
                connection.write(piece)
                await connection.drain()
        connection.written = whole

    def _leave(self, connection: Connection | None) -> None:
        if not self.gone.done():
            self.gone.set_result(None)
        if connection is not None:
            connection.abort()


class Proxy:
    """The pass-through.

    Args:
        private: the server behind.
        patience: seconds to wait for it while it does not listen.
    """

    def __init__(self, private: Private, patience: float = _PATIENCE) -> None:
        self._private = private
        self._patience = patience

    async def __call__(self, scope: Any, receive: Any, send: Any) -> int:  # noqa: ANN401 - ASGI's
        """Pass on; the status answered."""
        return (await self.pass_on(scope, receive, send)).status

    async def pass_on(
        self,
        scope: Any,  # noqa: ANN401 - ASGI's
        receive: Any,  # noqa: ANN401 - ASGI's
        send: Any,  # noqa: ANN401 - ASGI's
        read: bytes | None = None,
    ) -> Passed:
        """Pass on.

        Args:
            scope: ASGI's.
            receive: ASGI's.
            send: ASGI's.
            read: the whole body, where it was read already.
        """
        method = scope["method"]
        head, framing = _head(scope)
        client = _Client(receive, framing, read)
        again = method in _SAFE and client.read is not None
        until = 0.0
        try:
            while True:
                socket, connection = await self._connect(client)
                try:
                    connection.begin(method)
                    connection.write(head)
                    client.start(connection)
                    status, headers = await connection.head()
                    return await _answer(connection, send, status, headers)
                except CutError:
                    if client.gone.done():
                        return Passed(0, 0)
                    # A kept connection may close under a request, and a worker that is dying still takes new ones for
                    # a moment; of requests that only look nothing is lost. One that kills who is asked next is told.
                    now = asyncio.get_running_loop().time()
                    until = until or now + _DYING
                    if again and not connection.touched and now < until:
                        await asyncio.sleep(_AGAIN)
                        continue
                    return await _refuse(send, method, 502, _ENDED)
                finally:
                    client.stop()
                    self._private.release(socket, connection)
        except AwayError:
            return await _refuse(send, method, 503, _STARTING)
        except _GoneError:
            return Passed(0, 0)
        finally:
            client.stop()

    async def _connect(self, client: _Client) -> tuple[str, Connection]:
        """A connection, or the end of waiting for one because nobody wants it any more."""
        with contextlib.suppress(AwayError):
            return await self._private.connect()
        client.start()
        connecting = asyncio.ensure_future(self._private.connect(self._patience))
        try:
            await asyncio.wait((connecting, client.gone), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            connecting.cancel()
            raise
        if connecting.done():
            return connecting.result()
        connecting.cancel()
        raise _GoneError


def _head(scope: Any) -> tuple[bytes, bytes]:  # noqa: ANN401 - ASGI's
    """The request's head as it is written to the server, and how its body is framed."""
    target = scope.get("raw_path") or scope["path"].encode("latin-1")
    if scope["query_string"]:
        target += b"?" + scope["query_string"]
    lines = [b"%b %b HTTP/1.1\r\n%b: %b\r\n" % (scope["method"].encode("ascii"), target, PEER, told(scope))]
    framing = b""
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            framing = b"chunked"
            lines.append(b"transfer-encoding: %b\r\n" % value)
        elif name == b"content-length":
            if not framing:  # else from a trailer, which uvicorn counts among the headers
                framing = b"length"
                lines.append(b"content-length: %b\r\n" % value)
        elif name not in _HOP:
            lines.append(b"%b: %b\r\n" % (name, value))
    lines.append(b"\r\n")
    return b"".join(lines), framing


async def _answer(connection: Connection, send: Any, status: int, headers: Headers) -> Passed:  # noqa: ANN401 - ASGI's
    """Give the answer back as it comes. Where the rest does not come, the client's connection ends without an end."""
    back = [(name, value) for name, value in headers if name not in _NOT_BACK]
    await send({"type": "http.response.start", "status": status, "headers": back})
    sent = 0
    try:
        while piece := await connection.piece():
            sent += len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    except CutError:
        return Passed(status, sent)  # uvicorn says so, and closes
    await send({"type": "http.response.body", "body": b""})
    return Passed(status, sent)


async def _refuse(send: Any, method: str, status: int, message: str) -> Passed:  # noqa: ANN401 - ASGI's
    body = orjson.dumps({"error_code": "TEMPORARILY_UNAVAILABLE", "message": message})
    headers = [
        (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"retry-after", b"1"),
    ]  # fmt: skip
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})
    if status != 503:  # noqa: PLR2004 - HTTP; a start is nothing to tell
        sys.stderr.write(f"a request was cut off by the private server: {method}\n")
    return Passed(status, len(body))
