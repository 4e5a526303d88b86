"""An answer that streams an export: one batch at a time, and the database's session ends with it, whatever happens.

Refuses to know what is exported.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

import anyio
import anyio.to_thread
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from homeport.serving.feedback.formats import FORMATS, Format
from homeport.serving.feedback.training_data import Export
from homeport.serving.refusal import Refusal

_STALL = 60.0  # seconds for a client to take one piece

_log = logging.getLogger("homeport.serving.feedback")


class Ask(Protocol):
    """Runs something that waits for the database in a thread; raises Refusal when the database does not answer."""

    def __call__(self, question: Callable[[], bytes | None], *, abandon: bool = False) -> Awaitable[bytes | None]:
        """`abandon`: a request that is cancelled does not wait for the thread."""


class Download(StreamingResponse):
    """An export on its way to the client; a client that goes away or stops reading frees its session.

    When the database breaks off the connection is broken off, too: a client must not take a part for the whole.
    """

    def __init__(self, export: Export, written: Format, ask: Ask, on_end: Callable[[], None]) -> None:
        """Take an export over: it is closed with the answer, and `on_end` is called then."""
        self._export, self._ask, self._on_end = export, ask, on_end
        self._pieces = written.write(export.columns, export.batches())
        name = next(name for name, one in FORMATS.items() if one is written)
        headers = {
            "Content-Disposition": f'attachment; filename="training-data.{name}"',
            "X-Column-Prefix": export.prefix,
        }
        super().__init__(self._stream(), media_type=written.media_type, headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""

        async def send_soon(message: Message) -> None:
            async with asyncio.timeout(_STALL):
                await send(message)

        try:
            await super().__call__(scope, receive, send_soon)
        except* (TimeoutError, ClientDisconnect):  # the latter is what Starlette may make of the former
            _log.warning("a download of training data ended: the client took nothing for %.0f s", _STALL)
        except* Refusal:
            _log.warning("a download of training data ended: the database broke off")
        finally:
            self._on_end()
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._export.close)

    async def _stream(self) -> AsyncIterator[bytes]:
        while (piece := await self._ask(lambda: next(self._pieces, None), abandon=True)) is not None:
            if piece:
                yield piece
