"""Uploads and downloads under way, and how much memory they may hold together.

Imported with the first artifact request: the HTTP client costs a fifth of a second and 10 MB. Refuses to know who may.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from homeport.tracking.artifacts import presentation, upload
from homeport.tracking.artifacts.destination import Destination
from homeport.tracking.artifacts.download import Download
from homeport.tracking.artifacts.store import RefusedError, Store
from homeport.tracking.front.call import Answer

if TYPE_CHECKING:
    from homeport.tracking.artifacts.room import Exchange

_MEMORY = 72 * 2**20  # bytes that all uploads under way may hold; one of any size holds 24 MiB at most
_DOWNLOADS = 256  # at once
_CLIENT_GONE = 499  # nobody reads it; for the metrics
_OK = 200
_PLAIN = b"text/plain; charset=utf-8"


class Transfers:
    """Everything on its way between clients and the store.

    Args:
        destination: where artifacts are.
        pass_on: answers a request by MLflow; gives the status.
    """

    def __init__(self, destination: Destination, pass_on: Callable[[Any, Any, Any], Awaitable[int]]) -> None:
        self._store = Store(destination)
        self._pass_on = pass_on
        self._free = _MEMORY
        self._downloads = 0

    async def get(self, name: str, headers: Mapping[bytes, bytes], exchange: Exchange) -> int:
        """Answer a GET or HEAD; the status, or 0 when nothing was said."""
        if headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers:
            return 0
        if self._downloads >= _DOWNLOADS:
            return 0  # slow readers hold a connection to the store each
        self._downloads += 1
        try:
            head = exchange.scope["method"] == "HEAD"
            return await Download(name, head, headers, exchange.receive, exchange.own).answer(self._store)
        finally:
            self._downloads -= 1

    async def put(self, name: str, headers: Mapping[bytes, bytes], exchange: Exchange) -> int:
        """Answer a PUT; the status, or 0 when nothing was received."""
        chunked = b"transfer-encoding" in headers
        length = headers.get(b"content-length", b"0")
        if not chunked and (not length.isdigit() or int(length) > upload.MOST):
            return 0
        wanted = upload.WINDOW * upload.PART if chunked else min(int(length), upload.WINDOW * upload.PART)
        if wanted > self._free:
            return 0  # MLflow stages it on its disk
        with self._reserved(wanted):
            return await self._write(name, upload.Incoming(exchange.receive), exchange)

    async def _write(self, name: str, incoming: upload.Incoming, exchange: Exchange) -> int:
        kind = presentation.stored_as(name)
        try:
            whole = await incoming.begin()
            if whole is not None:
                try:
                    await self._store.write(name, whole, kind)
                except RefusedError:
                    return await self._pass_on(exchange.scope, incoming.again(), exchange.send)
            elif begun := await upload.begun(self._store, name, kind):
                await upload.in_parts(self._store, name, begun, incoming)
            else:
                return await self._pass_on(exchange.scope, incoming.again(), exchange.send)
        except upload.GoneError:
            return _CLIENT_GONE
        except upload.TooLongError:
            return await _say(exchange.own, Answer(b"longer than the object store takes", 413, _PLAIN))
        except RefusedError as error:
            sys.stderr.write(f"artifact upload: {error}\n")
            return await _say(exchange.own, Answer(b"Internal Server Error", 500, _PLAIN))
        return await _say(exchange.own, Answer(b"", kind=b""))

    @contextmanager
    def _reserved(self, size: int) -> Iterator[None]:
        self._free -= size
        try:
            yield
        finally:
            self._free += size

    async def close(self) -> None:
        """End the connections to the store."""
        await self._store.close()


async def _say(send: Any, answer: Answer) -> int:  # noqa: ANN401 - ASGI's
    headers = [(b"content-type", answer.kind)] if answer.kind else []
    # The rest of a body that nobody reads must not be taken for the next request.
    headers += [(b"connection", b"close")] if answer.status != _OK else []
    headers.append((b"content-length", b"%d" % len(answer.body)))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
    return answer.status
