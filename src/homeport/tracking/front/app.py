"""The front as an ASGI application: hot calls are answered here, the rest is passed on to MLflow.

Refuses to know how processes are made and what hot calls do.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Awaitable, Callable, Iterable, Sequence
from time import perf_counter
from typing import Any, Protocol

import orjson

from homeport.tracking.front.around import Around, Origins, answering
from homeport.tracking.front.call import LARGEST_BODY, Answer, Call, Guard, Route, Table
from homeport.tracking.front.metrics import Counts
from homeport.tracking.front.proxy import Proxy
from homeport.tracking.front.slow import SlowLog

Headers = Iterable[tuple[bytes, bytes]]
Scope = Any
Receive = Any
Send = Any

_TOO_MANY = 429
_READING = ("search", "batchGet", "get-")  # how calls that are sent as POST and change nothing are named
_UNFORESEEN = orjson.dumps(
    {
        "error_code": "INTERNAL_ERROR",
        "message": "the server failed while it wrote, and it is not known whether that was done; its log says more",
    }
)


class Lane(Protocol):
    """The hot calls, and their life."""

    @property
    def table(self) -> Table:
        """The hot calls there are now."""

    def start(self) -> None:
        """Begin to open what they need."""

    async def settled(self) -> None:
        """Until it is known whether there are any; not for long."""

    async def close(self) -> None:
        """Finish what is under way."""


class Front:
    """The application.

    Args:
        lane: the hot calls.
        proxy: everything else.
        guard: who may have a hot call answered.
        origins: upstream's look at hosts and origins.
        around: what else is answered here.
        counts: what metrics show.
        slow: the log of slow requests.
        closes: called at the end, in this order.
    """

    def __init__(
        self,
        *,
        lane: Lane,
        proxy: Proxy,
        guard: Guard,
        origins: Origins,
        around: Around,
        counts: Counts,
        slow: SlowLog,
        closes: Sequence[Callable[[], Awaitable[None]]] = (),
    ) -> None:
        self._lane = lane
        self._proxy = proxy
        self._guard = guard
        self._origins = origins
        self._around = around
        self._slow = slow
        self._closes = closes
        self._counts = counts
        self._known_failures: set[tuple[str, type[Exception]]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or follow the server's life."""
        if scope["type"] != "http":
            await self._live(scope["type"], receive, send)
            return
        call = Call(scope["method"], scope["path"], scope["query_string"], scope["headers"], b"")
        # Nothing may be encoded in the path of a hot call: MLflow could decode it otherwise.
        found = self.find(call) if len(scope["raw_path"]) == len(scope["path"]) else None
        if found is not None:
            await self._hot(found, scope, receive, send)
        elif not await self._around(scope, receive, send):
            await self._pass(scope, receive, send)

    def find(self, call: Call) -> tuple[Route, Call, Headers] | None:
        """The hot call that is asked for, if it is one and the host and page may ask, and headers for its answer.

        Args:
            call: the body may come later.
        """
        found = self._lane.table.find(call.method, call.path)
        if found is None:
            return None
        common = answering(self._origins, call.method, call.path, call.headers)
        if common is None:
            return None
        route, call.parts = found
        return route, call, common

    async def answer(self, route: Route, call: Call) -> Answer | None:
        """A hot call's answer; None where MLflow is to give it."""
        meter = self._counts.routes.get(route.name) or self._counts.route(route.name)
        try:
            answer = await route.handle(call) if await self._guard.permits(route, call) else None
        except Exception as error:
            meter.failed += 1
            self._tell(route, error)
            # What only reads may be asked again; whether something was written is not known.
            answer = None if reads(route) else Answer(_UNFORESEEN, 500)
        if answer is None:
            meter.passed += 1
        return answer

    def answered(self, route: Route, call: Call, answer: Answer, seconds: float) -> None:
        """Count an answer that was sent, and note it if it was slow."""
        meter = self._counts.routes[route.name]
        if answer.status == _TOO_MANY:
            meter.refused += 1
        else:
            meter.answered(seconds)
        if seconds >= self._slow.seconds:
            self._slow.note(
                method=call.method, path=call.path, status=answer.status, seconds=seconds, route=route.name,
                how="fast", sent=len(answer.body),
            )  # fmt: skip

    async def pass_read(self, body: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request whose body was read already."""
        await self._pass(scope, receive, send, read=body)

    async def _hot(self, found: tuple[Route, Call, Headers], scope: Scope, receive: Receive, send: Send) -> None:
        """A hot call that came as ASGI's messages: chunked, pipelined, or from another server than ours."""
        began = perf_counter()
        route, call, common = found
        message = await receive()
        call.body = message.get("body", b"")
        if message.get("more_body") or message["type"] != "http.request":
            whole, again = await _read(message, receive)
            if whole is None:
                if again is not None:
                    self._counts.route(route.name).passed += 1
                    await self._pass(scope, again, send)
                return  # else the client went away, and what it began to say is not done
            call.body = whole
        answer = await self.answer(route, call)
        if answer is None:
            await self._pass(scope, receive, send, read=call.body)
            return
        headers = [(b"content-type", answer.kind), (b"content-length", b"%d" % len(answer.body))]
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": [*headers, *common, *answer.headers],
            }
        )
        await send({"type": "http.response.body", "body": answer.body})
        self.answered(route, call, answer, perf_counter() - began)

    async def pass_on(self, scope: Scope, receive: Receive, send: Send) -> int:
        """Pass a request on to MLflow, counted; the status answered."""
        return await self._pass(scope, receive, send)

    async def _pass(self, scope: Scope, receive: Receive, send: Send, read: bytes | None = None) -> int:
        method, path = scope["method"], scope["path"]
        began = perf_counter()
        self._counts.passing += 1
        status = sent = 0
        try:
            watched = self._guard.watch(method, path, send)
            status, sent = await self._proxy.pass_on(scope, receive, watched, read)
        finally:
            self._counts.passing -= 1
            self._guard.after(method, path)
            seconds = perf_counter() - began
            self._counts.passed(status, seconds)
            if seconds >= self._slow.seconds:
                self._slow.note(
                    method=method, path=path, status=status, seconds=seconds, route="mlflow", how="passed", sent=sent
                )
        return status

    def _tell(self, route: Route, error: Exception) -> None:
        """An exception that no hot call should raise, in full once for each kind of it."""
        kind = (route.name, type(error))
        if kind not in self._known_failures:
            self._known_failures.add(kind)
            sys.stderr.write(f"the hot call {route.name} failed, which is a defect of Homeport:\n")
            traceback.print_exception(error)
            sys.stderr.flush()

    async def _live(self, kind: str, receive: Receive, send: Send) -> None:
        if kind != "lifespan":
            await send({"type": "websocket.close", "code": 1000})
            return
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._lane.start()
                self._guard.start()
                await self._lane.settled()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._lane.close()
                for close in (self._guard.close, *self._closes):
                    await close()
                await send({"type": "lifespan.shutdown.complete"})
                return


def reads(route: Route) -> bool:
    """Whether that call surely changes nothing."""
    return route.method == "GET" or all(path.rpartition("/")[2].startswith(_READING) for path in route.paths)


async def _read(first: Any, receive: Receive) -> tuple[bytes | None, Receive | None]:  # noqa: ANN401 - ASGI's
    """The whole body; or, where it is too long, what to receive it from as if nothing had been read.

    Nothing of both where the client went away.
    """
    pieces, size = [first], len(first.get("body", b""))
    while pieces[-1].get("more_body") and size <= LARGEST_BODY:
        pieces.append(await receive())
        size += len(pieces[-1].get("body", b""))
    if pieces[-1]["type"] == "http.disconnect":
        return None, None
    if size <= LARGEST_BODY:
        return b"".join(piece.get("body", b"") for piece in pieces), None

    async def again() -> Any:  # noqa: ANN401 - ASGI's
        return pieces.pop(0) if pieces else await receive()

    return None, again
