"""Passes a request on to the private MLflow server, and its answer back, byte by byte as they come.

Refuses to know what is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from homeport.tracking.front.private import Private

# What belongs to one connection and not to the message (RFC 9110, 7.6.1).
_HOP = {
    b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
    b"trailer", b"transfer-encoding", b"upgrade",
}  # fmt: skip
_PATIENCE = 30.0  # seconds a request waits for a server that is starting
_AGAIN = 0.1


class Proxy:
    """The pass-through.

    Args:
        private: the server behind.
        patience: seconds to wait for it while it does not listen.
    """

    def __init__(self, private: Private, patience: float = _PATIENCE) -> None:
        self._private = private
        self._patience = patience

    async def __call__(self, scope: Any, receive: Any, send: Any, read: bytes | None = None) -> int:
        """Pass on; the status answered.

        Args:
            scope: ASGI's.
            receive: ASGI's.
            send: ASGI's.
            read: the whole body, where it was read already.
        """
        headers = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in scope["headers"] if n not in _HOP]
        target = scope.get("raw_path", b"").decode("latin-1") or scope["path"]
        if scope["query_string"]:
            target += "?" + scope["query_string"].decode("latin-1")
        length = any(n == b"content-length" for n, _ in scope["headers"])
        chunked = any(n == b"transfer-encoding" for n, _ in scope["headers"])
        data: Any = read if read is not None else (_body(receive) if length or chunked else None)
        deadline = asyncio.get_running_loop().time() + self._patience
        while True:
            try:
                response = await self._private.session.request(
                    scope["method"], self._private.url(target), headers=headers, data=data, allow_redirects=False
                )
                break
            except (aiohttp.ClientConnectorError, FileNotFoundError, ConnectionRefusedError):
                if asyncio.get_running_loop().time() >= deadline:
                    return await _unavailable(send)
                await asyncio.sleep(_AGAIN)
        try:
            back = [(n.lower(), v) for n, v in response.raw_headers if n.lower() not in _HOP]
            await send({"type": "http.response.start", "status": response.status, "headers": back})
            async for piece in response.content.iter_any():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            with contextlib.suppress(Exception):
                response.close()
        return int(response.status)


async def _body(receive: Any) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError("the client went away")
        if message.get("body"):
            yield message["body"]
        more = message.get("more_body", False)


async def _unavailable(send: Any) -> int:
    body = b'{"error_code":"TEMPORARILY_UNAVAILABLE","message":"MLflow is starting or restarting; try again"}'
    headers = [
        (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"retry-after", b"1"),
    ]  # fmt: skip
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
    return 503
