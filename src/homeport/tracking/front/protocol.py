"""HTTP for hot calls without the detour over ASGI's messages: uvicorn's own protocol, with a short way through it.

A hot call comes as one small body with its length and is answered in one piece; its headers are matched, its body
collected and its answer written here. Everything else, also what a hot call leaves to MLflow, goes uvicorn's way.
Measured: docs/adr/0010. Refuses to know what hot calls do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from time import perf_counter
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from homeport.tracking.front.app import Front
from homeport.tracking.front.call import LARGEST_BODY, Answer, Call, Route

_LENGTH_DIGITS = 7  # of LARGEST_BODY
_ONE_WRITE = 64 * 1024  # bytes; a longer body is not copied behind its head

Pairs = Iterable[tuple[bytes, bytes]]


class _Nobody:
    """Nobody waits for the rest of a hot call's body, or for its client to go away."""

    def set(self) -> None:
        """Nothing."""


_NOBODY = _Nobody()


class Hot:
    """A hot call on its way; has what uvicorn's protocol asks of the cycle of a request."""

    __slots__ = (
        "body", "call", "common", "disconnected", "keep_alive", "message_event", "more_body", "response_complete",
        "route", "scope",
    )  # fmt: skip

    def __init__(self, route: Route, call: Call, common: Pairs, scope: Any, keep_alive: bool) -> None:  # noqa: ANN401
        self.route = route
        self.call = call
        self.common = common
        self.scope = scope
        self.keep_alive = keep_alive
        self.body = b""
        self.more_body = True
        self.response_complete = False
        self.disconnected = False
        self.message_event = _NOBODY


class Protocol(HttpToolsProtocol):
    """One client's connection. The application must be a `Front`."""

    cycle: Any  # uvicorn's, or a `Hot`
    app: Any

    def on_headers_complete(self) -> None:
        """See whether this is a hot call; else uvicorn makes a request for the application of it."""
        hot = self._hot()
        if hot is None:
            super().on_headers_complete()
        else:
            self.cycle = hot

    def on_body(self, body: bytes) -> None:
        """A piece of the body; a hot call's is short, so that reading goes on."""
        if type(self.cycle) is Hot:
            self.cycle.body += body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        hot = self.cycle
        if type(hot) is not Hot:
            super().on_message_complete()
            return
        hot.call.body = hot.body
        task = self.loop.create_task(self._answer(hot))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _hot(self) -> Hot | None:
        before, url, parser = self.cycle, self.url, self.parser
        if (
            (before is not None and not before.response_complete)  # pipelined: in turn, which is uvicorn's business
            or self.expect_100_continue
            or parser.get_http_version() != "1.1"
            or parser.should_upgrade()
            or not url.isascii()
            or b"#" in url
        ):
            return None
        path, _, query = url.partition(b"?")
        if b"%" in path:  # MLflow could decode it otherwise
            return None
        length = b"0"
        for name, value in self.headers:
            if name == b"content-length":
                length = value
            elif name == b"transfer-encoding":
                return None
        # The parser has seen that it is a number.
        if len(length) > _LENGTH_DIGITS or int(length) > LARGEST_BODY:
            return None
        front: Front = self.app
        call = Call(parser.get_method().decode("ascii"), path.decode("ascii"), query, self.headers, b"")
        found = front.find(call)
        if found is None:
            return None
        return Hot(*found, self.scope, parser.should_keep_alive())

    async def _answer(self, hot: Hot) -> None:
        try:
            began = perf_counter()
            front: Front = self.app
            answer = await front.answer(hot.route, hot.call)
            if answer is None:
                await self._pass(hot)
                return
            if self.flow.write_paused and not hot.disconnected:
                await self.flow.drain()
            if hot.disconnected:
                front.answered(hot.route, hot.call, answer, perf_counter() - began)
                return
            self._write(hot, answer)
            front.answered(hot.route, hot.call, answer, perf_counter() - began)
        except Exception:
            self.logger.exception("a hot call could not be answered")
            self.transport.close()

    def _write(self, hot: Hot, answer: Answer) -> None:
        body = answer.body
        pieces = [STATUS_LINE[answer.status]]
        for pairs in (self.server_state.default_headers, hot.common, answer.headers):
            for name, value in pairs:
                pieces += (name, b": ", value, b"\r\n")
        pieces.append(b"content-type: %b\r\ncontent-length: %d\r\n" % (answer.kind, len(body)))
        if not hot.keep_alive:
            pieces.append(b"connection: close\r\n")
        pieces.append(b"\r\n")
        if len(body) <= _ONE_WRITE:
            pieces.append(body)
            self.transport.write(b"".join(pieces))
        else:
            self.transport.write(b"".join(pieces))
            self.transport.write(body)
        hot.response_complete = True
        if not hot.keep_alive:
            self.transport.close()
        self.on_response_complete()

    async def _pass(self, hot: Hot) -> None:
        """What the hot call left: the application passes it on, as if uvicorn had called it with this body."""
        call, scope, app = hot.call, hot.scope, self.app
        scope.update(method=call.method, path=call.path, raw_path=call.path.encode("ascii"), query_string=call.query)
        cycle = RequestResponseCycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=hot.keep_alive,
            on_response=self.on_response_complete,
        )
        cycle.more_body = False
        cycle.disconnected = hot.disconnected
        if self.cycle is hot:
            self.cycle = cycle
        await cycle.run_asgi(partial(app.pass_read, call.body))
