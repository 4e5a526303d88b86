"""One download: the store's bytes as they come, under the name and type that MLflow gives them.

A store that ends too early ends the connection to the client: the length said first makes the cut visible. Refuses to
know paths and permissions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiohttp

from homeport.tracking.artifacts import presentation
from homeport.tracking.artifacts.store import FAILURES, Store

_OK, _PARTIAL, _NOT_MODIFIED, _NO_SUCH_RANGE = 200, 206, 304, 416
_CLIENT_GONE, _CUT = 499, 502  # for the metrics: the client was told 200
_AT_ONCE = 256 * 2**10  # bytes below which nobody watches whether the client is still there

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Download:
    """A GET, or a HEAD where only `head` of it is wanted; `receive` and `send` are ASGI's."""

    name: str
    head: bool
    headers: Mapping[bytes, bytes]
    receive: Any
    send: Any

    async def answer(self, store: Store) -> int:
        """Answer; the status, or 0 when the store has no such answer and nothing was said yet."""
        try:
            response = await store.read(self.name, presentation.single_range(self.headers), head=self.head)
        except FAILURES:
            return 0
        try:
            return await self._answer(response)
        finally:
            response.close()

    async def _answer(self, response: aiohttp.ClientResponse) -> int:
        given = response.headers
        # The embedded store (rclone 1.75.2) answers a range with 200.
        status = _PARTIAL if response.status == _OK and "Content-Range" in given else response.status
        length = given.get("Content-Length", "")
        if status == _NO_SUCH_RANGE and given.get("Content-Range"):
            return await self._say(status, [_header(given, "Content-Range"), (b"content-length", b"0")])
        if status not in {_OK, _PARTIAL} or not length.isdigit():
            return 0
        version = presentation.version(given)
        # Else browsers, told when it was modified, would show an old one unasked.
        told = [*version.headers, (b"cache-control", b"no-cache")]
        if version.is_had(self.headers):
            return await self._say(_NOT_MODIFIED, told)
        said = [
            (b"content-type", presentation.content_type(self.name).encode()),
            (b"content-disposition", presentation.disposition(self.name).encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"accept-ranges", b"bytes"),
            *told,
            _header(given, "Content-Length"),
        ]
        if status == _PARTIAL:
            said.append(_header(given, "Content-Range"))
        return await (self._say(status, said) if self.head else self._stream(response, status, said))

    async def _stream(self, response: aiohttp.ClientResponse, status: int, headers: Headers) -> int:
        watched = int(response.headers["Content-Length"]) > _AT_ONCE
        watching = asyncio.create_task(self._until_gone(response)) if watched else None
        try:
            await self.send({"type": "http.response.start", "status": status, "headers": headers})
            async for piece in response.content.iter_any():
                if watching is not None and watching.done():
                    return _CLIENT_GONE
                await self.send({"type": "http.response.body", "body": piece, "more_body": True})
            await self.send({"type": "http.response.body", "body": b""})
        except FAILURES:  # no end is sent: the server then ends the connection
            return _CLIENT_GONE if watching is not None and watching.done() else _CUT
        finally:
            if watching is not None:
                watching.cancel()
                with suppress(asyncio.CancelledError):
                    await watching
        return status

    async def _until_gone(self, response: aiohttp.ClientResponse) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
        response.close()

    async def _say(self, status: int, headers: Headers) -> int:
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": b""})
        return status


def _header(given: Mapping[str, str], title: str) -> tuple[bytes, bytes]:
    return title.lower().encode(), given[title].encode("latin-1")
