"""uvicorn's HTTP protocol with the head and the body of an answer in one packet.

uvicorn 0.54 writes them one after the other, and each write wakes the client: a second system call and a second wake-up
for every prediction (docs/adr/0006). Refuses to know what is answered.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_LARGE = 2**16


class Corked:
    """A transport that sends what is written within one turn of the event loop at once.

    Args:
        transport: where it goes.
        loop: whose turns are meant.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Keep it until the end of this turn; what is large goes at once."""
        self._parts.append(data)
        if len(data) > _LARGE:
            self.flush()
        elif len(self._parts) == 1:
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Send what was kept."""
        if self._parts:
            data = b"".join(self._parts)
            self._parts.clear()
            self._transport.write(data)

    def close(self) -> None:
        """Send what was kept, then close."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the transport has
        """Everything else is the transport's own."""
        return getattr(self._transport, name)


class Protocol(HttpToolsProtocol):
    """What uvicorn makes for each connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as upstream has it
        """Put the cork between uvicorn and the socket."""
        super().connection_made(Corked(transport, self.loop))  # type: ignore[arg-type] # it is a transport by behaviour
