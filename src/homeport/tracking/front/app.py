"""The front as an ASGI application: hot calls are answered here, the rest is passed on to MLflow.

Refuses to know how processes are made and what hot calls do.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from homeport.tracking.fast.lane import Lane
from homeport.tracking.front.call import LARGEST_BODY, Answer, Call, Guard
from homeport.tracking.front.proxy import Proxy
from homeport.tracking.internal import PREFIX

Scope = Any
Receive = Any
Send = Any


class Front:
    """The application.

    Args:
        lane: the hot calls.
        proxy: everything else.
        guard: who may have a hot call answered.
    """

    def __init__(self, lane: Lane, proxy: Proxy, guard: Guard) -> None:
        self._lane = lane
        self._proxy = proxy
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or follow the server's life."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        method, path = scope["method"], scope["path"]
        found = self._lane.table.find(method, path)
        if found is None:
            if unquote(path).startswith(PREFIX.rstrip("/")):
                await _send(send, Answer(b'{"detail":"Not Found"}', 404))
                return
            await self._proxy(scope, receive, send)
            self._guard.after(method, path)
            return
        route, parts = found
        body, rest = await _read(receive)
        if rest is not None:
            await self._proxy(scope, rest, send)
            return
        call = Call(method, path, scope["query_string"], scope["headers"], body)
        call.parts = parts
        answer = await route.handle(call) if await self._guard.permits(route, call) else None
        if answer is None:
            await self._proxy(scope, receive, send, read=body)
            return
        await _send(send, answer)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._lane.start()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._lane.close()
                await send({"type": "lifespan.shutdown.complete"})
                return


async def _read(receive: Receive) -> tuple[bytes, Receive | None]:
    """The whole body; or, where it is too long, what to receive it from as if nothing had been read."""
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body, None
    pieces = [message]
    size = len(body)
    while message.get("more_body") and size <= LARGEST_BODY:
        message = await receive()
        pieces.append(message)
        size += len(message.get("body", b""))
    if not message.get("more_body") and size <= LARGEST_BODY:
        return b"".join(piece.get("body", b"") for piece in pieces), None

    async def again() -> Any:
        return pieces.pop(0) if pieces else await receive()

    return b"", again


async def _send(send: Send, answer: Answer) -> None:
    headers = [
        (b"content-type", answer.kind),
        (b"content-length", b"%d" % len(answer.body)),
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"SAMEORIGIN"),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
