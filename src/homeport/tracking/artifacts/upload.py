"""One upload: a small body is put whole once all of it is here, a large one in parts that become visible together.

So nothing of an upload that is cut ever shows, and an older object of that name stays as it was. At most the reserved
bytes are held. Refuses to know paths and permissions.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from homeport.tracking.artifacts.store import Body, RefusedError, Store

PART = 8 * 2**20  # bytes; boto's
_MOST_PARTS = 10_000  # S3's
MOST = _MOST_PARTS * PART  # bytes
WINDOW = 3  # parts held at once: one that fills and two on their way


class GoneError(Exception):
    """The client went away in the middle."""


class TooLongError(Exception):
    """More than S3 takes in parts of this size."""


class Incoming:
    """A request's body in parts.

    Args:
        receive: ASGI's.
    """

    def __init__(self, receive: Any) -> None:  # noqa: ANN401 - ASGI's
        self._receive = receive
        self._first: Body | None = None  # read, and not taken yet
        self._rest = b""  # of a message that did not fit
        self._ended = False
        self._parts = 0

    async def begin(self) -> Body | None:
        """Read the first part; it, when it is the whole body, else None. It stays to be taken.

        Raises:
            GoneError: when the client went away.
        """
        self._first = await self._fill()
        return None if self._rest or not self._ended else self._first

    async def part(self) -> Body | None:
        """The next part, full unless it is the last one; None after that.

        Raises:
            GoneError: when the client went away.
            TooLongError: when S3 takes no part more.
        """
        if self._first is not None:
            first, self._first = self._first, None
            self._parts = 1
            return first
        body = await self._fill()
        if not body.data:
            return None
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise TooLongError
        return body

    async def _fill(self) -> Body:
        data, digest = bytearray(), hashlib.sha256()
        while len(data) < PART and (self._rest or not self._ended):
            piece = self._rest or await self._next()
            room = PART - len(data)
            taken, self._rest = piece[:room], piece[room:]
            data += taken
            digest.update(taken)
        return Body(data, digest.hexdigest())

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise GoneError
        self._ended = not message.get("more_body", False)
        piece: bytes = message.get("body", b"")
        return piece

    def again(self) -> Any:  # noqa: ANN401 - ASGI's
        """What to receive from as if the first part had not been read."""
        read, self._first = self._first, None
        pending = [bytes(read.data) if read else b"", *([self._rest] if self._rest else [])]

        async def receive() -> Any:  # noqa: ANN401 - ASGI's
            if pending:
                body = pending.pop(0)
                return {"type": "http.request", "body": body, "more_body": bool(pending) or not self._ended}
            return await self._receive()

        return receive


async def in_parts(store: Store, name: str, upload: str, incoming: Incoming) -> None:
    """Write part after part, and make them one object; or leave nothing.

    Raises:
        GoneError, TooLongError, RefusedError: nothing of it was or will be visible.
    """
    etags: dict[int, str] = {}
    under_way: set[asyncio.Task[None]] = set()

    async def write(number: int, body: Body) -> None:
        etags[number] = await store.write_part(name, upload, number, body)

    try:
        number = 0
        while (body := await incoming.part()) is not None:
            number += 1
            under_way.add(asyncio.create_task(write(number, body)))
            del body  # the task has it, and lets go of it when the store has it
            while len(under_way) >= WINDOW - 1:
                done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        for task in under_way:
            await task
        await store.complete(name, upload, [etags[one] for one in range(1, number + 1)])
    except BaseException:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        with suppress(asyncio.CancelledError):
            await asyncio.shield(asyncio.ensure_future(store.abort(name, upload)))
        raise


async def begun(store: Store, name: str, headers: Mapping[str, str]) -> str:
    """The id of an upload in parts; empty when the store does not begin one."""
    try:
        return await store.begin(name, headers)
    except RefusedError:
        return ""
