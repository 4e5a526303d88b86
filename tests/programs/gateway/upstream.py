"""A server behind the gateway that tells what reached it: path, headers, body; and streams, slowly where asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import anyio
import uvicorn

from tests.programs.database.programs import eventually, free_port

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Upstream:
    """One server in a thread. `release` lets `/events` send its second piece."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = free_port()
        self.seen: list[str] = []
        self.release = threading.Event()
        config = uvicorn.Config(
            self._answer, "127.0.0.1", self.port, log_level="critical", lifespan="off", interface="asgi3",
            proxy_headers=False,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)

    def start(self) -> Upstream:
        self._thread.start()
        eventually(lambda: self._server.started)
        return self

    def end(self) -> None:
        self.release.set()
        self._server.should_exit = True
        self._thread.join(30)

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await _echo_words(receive, send)
            return
        self.seen.append(scope["path"])
        match scope["path"]:
            case "/events":
                await self._events(scope, send)
            case "/api/2.0/mlflow/runs/search" | "/api/2.0/mlflow-artifacts/artifacts/big.json":
                await _send(send, b"[" + b"1," * 5000 + b"1]")
            case _:
                told = {
                    "name": self.name,
                    "path": scope["path"],
                    "raw_path": scope["raw_path"].decode("latin-1"),
                    "headers": {key.decode(): value.decode("latin-1") for key, value in scope["headers"]},
                    "peer": scope["client"][1],
                    "body": await _count(receive),
                }
                await _send(send, json.dumps(told).encode())

    async def _events(self, scope: Message, send: Send) -> None:
        kind = b"text/event-stream" if scope["query_string"] == b"sse" else b"application/x-ndjson"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        await anyio.to_thread.run_sync(self.release.wait, 30)
        await send({"type": "http.response.body", "body": b"data: 2\n\n"})


async def _echo_words(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"].upper()})


async def _count(receive: Receive) -> int:
    total, more = 0, True
    while more:
        message = await receive()
        total += len(message.get("body", b""))
        more = message.get("more_body", False)
    return total


async def _send(send: Send, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
