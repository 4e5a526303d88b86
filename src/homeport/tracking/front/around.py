"""What the front answers beside hot calls: `/ready`, `/metrics`, the page, and what is streamed, as artifacts are.

Refuses to know hot calls, and what is passed on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from time import perf_counter
from typing import Any, Protocol
from urllib.parse import unquote

import orjson

from homeport.tracking.front import metrics
from homeport.tracking.front.call import Answer, Call, Guard, Route, Subject
from homeport.tracking.front.metrics import Counts
from homeport.tracking.front.pages import Pages
from homeport.tracking.front.ready import Ready
from homeport.tracking.front.slow import SlowLog
from homeport.tracking.internal import PREFIX
from homeport.tracking.near import is_near

Headers = Iterable[tuple[bytes, bytes]]
Scope = Any
Receive = Any
Send = Any

_INTERNAL = PREFIX.rstrip("/")
_WORKSPACE = b"x-mlflow-workspace"
_NOT_READY = 503


class Origins(Protocol):
    """Upstream's look at hosts and origins."""

    def answering(self, method: str, path: str, headers: Headers) -> Headers | None:
        """Headers to add to an answer that is given here; None where upstream shall decide."""


class Streaming(Protocol):
    """Answers made here that are too long to be held, such as artifacts."""

    def find(self, method: str, path: str) -> str:
        """The route's name for metrics; empty for what it does not answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send, common: Headers) -> int:
        """The status answered, with these headers, too; 0: nothing was read or sent."""

    async def close(self) -> None:
        """Let go of whatever it holds."""


def answering(origins: Origins, method: str, path: str, headers: Headers) -> Headers | None:
    """Headers to add to an answer given here; None where MLflow shall decide."""
    for name, _ in headers:
        if name == _WORKSPACE:
            return None
    return origins.answering(method, path, headers)


class Around:
    """These answers.

    Args:
        guard: who is known.
        origins: upstream's look at hosts and origins.
        pages: the page's files.
        ready: the answer to `/ready`.
        state: what metrics ask for.
        counts: what metrics show.
        slow: the log of slow requests.
        discreet: whether only who is near, or known, is told about the server's insides.
        own_metrics: whether `/metrics` is the front's; a user may have switched on MLflow's.
    """

    def __init__(
        self,
        *,
        guard: Guard,
        origins: Origins,
        pages: Pages,
        ready: Ready,
        state: metrics.State,
        counts: Counts,
        slow: SlowLog,
        discreet: bool,
        own_metrics: bool = True,
    ) -> None:
        self._guard = guard
        self._origins = origins
        self._pages = pages
        self._ready = ready
        self._state = state
        self._counts = counts
        self._slow = slow
        self._discreet = discreet
        self._own_metrics = own_metrics
        self.streams: Sequence[Streaming] = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Whether it was answered; else nothing was read or sent."""
        method, path = scope["method"], scope["path"]
        if unquote(path).startswith(_INTERNAL):
            await self._say(send, method, Answer(b'{"detail":"Not Found"}', 404))
        elif path == "/ready":
            await self._say_ready(scope, send)
        elif path == "/metrics" and method == "GET" and self._own_metrics and await self._may_count(scope):
            body, kind = metrics.page(self._counts, self._state)
            await self._say(send, method, Answer(body, kind=kind))
        elif any(name == b"upgrade" and value.lower() == b"websocket" for name, value in scope["headers"]):
            await self._say(send, method, Answer(b"", 403))  # MLflow has none, and answers that
        else:
            return await self._own(scope, receive, send)
        return True

    async def _own(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Whether it was answered here: a file of the page, or an artifact."""
        method, path = scope["method"], scope["path"]
        page = self._pages.find(method, path)
        stream = name = None
        if page is None:
            for each in self.streams:
                if name := each.find(method, path):
                    stream = each
                    break
        if page is None and stream is None:
            return False
        common = answering(self._origins, method, path, scope["headers"])
        if common is None:
            return False
        if page is not None:
            return bool(await self._pages.answer(page, common, scope, send))
        began = perf_counter()
        meter = self._counts.route(name or "")
        status = await stream(scope, receive, send, common) if stream is not None else 0
        if not status:
            meter.passed += 1
            return False
        seconds = perf_counter() - began
        meter.answered(seconds)
        if seconds >= self._slow.seconds:
            self._slow.note(method=method, path=path, status=status, seconds=seconds, route=name or "", how="fast")
        return True

    async def _say_ready(self, scope: Scope, send: Send) -> None:
        report = await self._ready.report(tell=not self._discreet or is_near(scope))
        await self._say(send, scope["method"], Answer(orjson.dumps(report), 200 if report["ready"] else _NOT_READY))

    async def _may_count(self, scope: Scope) -> bool:
        """Whether who asks may see the numbers; who may not is left to MLflow's refusal."""
        if not self._discreet or is_near(scope):
            return True
        call = Call("GET", "/metrics", scope["query_string"], scope["headers"], b"")
        return await self._guard.permits(_METRICS, call)

    async def _say(self, send: Send, method: str, answer: Answer) -> None:
        headers = [
            (b"content-type", answer.kind), (b"content-length", b"%d" % len(answer.body)),
            (b"cache-control", b"no-store"), *answer.headers,
        ]  # fmt: skip
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else answer.body})


async def _never(_call: Call) -> Answer | None:
    return None


_METRICS = Route("metrics", "GET", ("/metrics",), _never, Subject.NOTHING)
