"""An ASGI application around MLflow's: adds `/ready` and passes everything else through.

Upstream's `/health` is a constant (mlflow 3.17.2, server/server_info_api.py); `/ready` asks the database, its schema
and the object store. This module refuses to know how workers are made.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

import anyio
import anyio.to_thread

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Problem(Protocol):
    """One reason not to be ready."""

    @property
    def part(self) -> str:
        """What is not well: database, schema, object store."""

    @property
    def message(self) -> str:
        """How it is not well."""

    @property
    def fix(self) -> str:
        """What mends it."""


def front(upstream: Application, check: Callable[[], list[Any]], threads: int) -> Application:
    """MLflow's application with `/ready` in front of it.

    Args:
        upstream: MLflow's ASGI application.
        check: asks what the server needs and returns the problems found; blocking, run in a thread of its own.
        threads: how many requests one worker handles at once; more wait.
    """
    readiness_limiter: anyio.CapacityLimiter | None = None

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal readiness_limiter
        if scope["type"] == "http" and scope["path"] == "/ready":
            # A limiter of its own: a probe must not wait for a request thread. It belongs to a loop, so not earlier.
            readiness_limiter = readiness_limiter or anyio.CapacityLimiter(2)
            problems = await anyio.to_thread.run_sync(check, limiter=readiness_limiter)
            await _answer(send, problems, head=scope["method"] == "HEAD")
            return
        if scope["type"] == "lifespan":
            anyio.to_thread.current_default_thread_limiter().total_tokens = threads
        await upstream(scope, receive, send)

    return application


async def _answer(send: Send, problems: list[Problem], *, head: bool) -> None:
    body = json.dumps(
        {
            "ready": not problems,
            "problems": [{"part": p.part, "message": p.message, "fix": p.fix} for p in problems],
        }
    ).encode()
    await send(
        {
            "type": "http.response.start",
            "status": 503 if problems else 200,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                (b"cache-control", b"no-store"),
            ],
        }
    )
    await send({"type": "http.response.body", "body": b"" if head else body})
