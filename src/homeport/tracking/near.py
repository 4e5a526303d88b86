"""Who asks: said by the front to the private server behind it, which otherwise sees the front only.

Refuses to know what is asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from homeport.near import is_near

__all__ = ["PEER", "as_if_direct", "is_near", "told"]

Scope = MutableMapping[str, Any]
Application = Callable[[Scope, Any, Any], Awaitable[None]]

PEER = b"x-homeport-peer"  # only on the private sockets: the front drops what clients send under that name
_UNKNOWN = "-"


def told(scope: Scope) -> bytes:
    """What the header says: host and port of the client, then of the server."""
    words = [str(word) for name in ("client", "server") for word in (scope.get(name) or (_UNKNOWN, _UNKNOWN))]
    return " ".join(words).encode("latin-1", "replace")


def as_if_direct(application: Application) -> Application:
    """An application that sees clients as if they came in directly; without the header, nobody is known."""

    async def seeing(scope: Scope, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's
        if scope["type"] == "http":
            words = [value for name, value in scope["headers"] if name == PEER][:1]
            scope["headers"] = [(name, value) for name, value in scope["headers"] if name != PEER]
            host, port, own, listening = (words[0] if words else b"- - - -").decode("latin-1").split(" ")
            scope["client"] = None if host == _UNKNOWN else (host, _number(port))
            scope["server"] = None if own == _UNKNOWN else (own, _number(listening))
        await application(scope, receive, send)

    return seeing


def _number(port: str) -> int | None:
    return int(port) if port.isdecimal() else None
