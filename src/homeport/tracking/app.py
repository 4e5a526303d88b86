"""An ASGI application around MLflow's: adds `/ready`, keeps strangers out where that is wanted, passes the rest on.

Upstream's `/health` is a constant (mlflow 3.17.2, server/server_info_api.py); `/ready` asks the database, its schema
and the object store. This module refuses to know how workers are made.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Protocol

import anyio
import anyio.to_thread

from homeport.tracking.gate import Gate, Verdict, refuse
from homeport.tracking.internal import Question
from homeport.tracking.near import is_near

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


def front(
    upstream: Application,
    check: Callable[[], list[Any]],
    threads: int,
    gate: Gate | None = None,
    *,
    discreet: bool = False,
    shared: Mapping[str, str] | None = None,
    questions: Mapping[str, Question] | None = None,
) -> Application:
    """MLflow's application with `/ready` in front of it.

    Args:
        upstream: MLflow's ASGI application.
        check: asks what the server needs and returns the problems found; blocking, run in a thread of its own.
        threads: how many requests one worker handles at once; more wait.
        gate: keeps strangers out; None where everybody may come in, or upstream alone decides.
        discreet: whether only who asks from this machine is told why the server is not ready.
        shared: `directory` and `id` of the directory that clients write artifacts to themselves (`marker.py`); told to
            everybody, so that `homeport doctor` can compare.
        questions: what the front may ask (`internal.py`).
    """
    always = {"shared_artifacts": dict(shared)} if shared else {}
    readiness_limiter: anyio.CapacityLimiter | None = None

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal readiness_limiter
        if scope["type"] == "http" and scope["path"] == "/ready":
            # A limiter of its own: a probe must not wait for a request thread. It belongs to a loop, so not earlier.
            readiness_limiter = readiness_limiter or anyio.CapacityLimiter(2)
            problems = await anyio.to_thread.run_sync(check, limiter=readiness_limiter)
            tell = not discreet or is_near(scope)
            await _answer(send, _report(problems, tell=tell) | always, head=scope["method"] == "HEAD")
            return
        if questions and scope["type"] == "http" and scope["path"] in questions:
            status, body = await anyio.to_thread.run_sync(
                questions[scope["path"]], await _body(receive), scope["headers"]
            )
            await _say(send, status, body, head=False)
            return
        if scope["type"] == "lifespan":
            anyio.to_thread.current_default_thread_limiter().total_tokens = threads
        elif gate is not None and (verdict := await gate.verdict(scope)) is not Verdict.PASS:
            await refuse(verdict, scope, send)
            return
        await upstream(scope, receive, send)

    return application


def _report(problems: list[Problem], *, tell: bool) -> dict[str, Any]:
    """What is wrong; strangers learn only where (`tell`), since drivers name hosts and users."""
    told = [{"part": p.part, "message": p.message, "fix": p.fix} for p in problems]
    return {"ready": not problems, "problems": told if tell else [{"part": p.part} for p in problems]}


async def _answer(send: Send, report: dict[str, Any], *, head: bool) -> None:
    await _say(send, 200 if report["ready"] else 503, json.dumps(report).encode(), head=head)


async def _body(receive: Receive) -> bytes:
    pieces, more = [], True
    while more:
        message = await receive()
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(pieces)


async def _say(send: Send, status: int, body: bytes, *, head: bool) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                (b"cache-control", b"no-store"),
            ],
        }
    )
    await send({"type": "http.response.body", "body": b"" if head else body})
