"""The scoring routes as one plain ASGI application: read the body, find the model, ask it, answer.

Everything a prediction passes stands here and in `lane.py`; all other paths go to the application of `api.py`. It
refuses to know where models come from and what they are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import TYPE_CHECKING, Any

import orjson

from homeport.near import is_near
from homeport.serving import keys, metrics
from homeport.serving.exchange import Exchange, opened, request_ids
from homeport.serving.keys import Keys
from homeport.serving.refusal import Refusal
from homeport.serving.routes import Routes
from homeport.serving.servable import Dialect, Reply, Request

if TYPE_CHECKING:
    from homeport.serving.after import After
    from homeport.serving.config import ServingConfig
    from homeport.serving.dispatch import Dispatch
    from homeport.serving.follow.catalog import Entry

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# A body this large takes long to read, too: not on the event loop.
_LARGE_BODY = 2**18
_FAILED = Refusal(500, "INTERNAL_ERROR", "the server failed; its log says why")


class Front:
    """The server's application in one worker.

    Args:
        config: limits.
        dispatch: finds the model for a route.
        after: what happens once an answer is sent: counters, log, shadow.
        api: the application for every other path.
    """

    def __init__(self, config: ServingConfig, dispatch: Dispatch, after: After, api: Application) -> None:
        self._config = config
        self._dispatch = dispatch
        self._after = after
        self._api = api
        self._routes = Routes()
        self._keys = Keys(config.keys) if config.keys else None
        self._new_id = request_ids()
        self.draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._api(scope, receive, send)
            return
        route = self._routes.find(scope["raw_path"])
        stranger = self._keys is not None and not self._keys.admits(scope["headers"])
        if route is None:
            await self._beside(scope, receive, self._with_id(send), stranger=stranger)
            return
        exchange = opened(route, scope, self._new_id)
        try:
            if stranger:
                metrics.STRANGERS.inc()
                raise keys.stranger()
            body = await _body(receive, exchange, self._config.max_body)
            started = perf_counter()
            exchange.reply = await self._answer(exchange, body)
        except _ClientGoneError:
            return
        except Refusal as refusal:  # before there was a body
            started = perf_counter()
            exchange.reply = _refused(exchange, refusal)
        await self._send(exchange, send)
        exchange.seconds = perf_counter() - started
        self._after.answered(exchange)

    async def _beside(self, scope: Scope, receive: Receive, send: Send, *, stranger: bool) -> None:
        """Every other path: some are open to all, and tell strangers little."""
        if not stranger:
            await self._api(scope, receive, send)
        elif scope["raw_path"] in keys.OPEN:
            scope[keys.TOLD] = is_near(scope)
            await self._api(scope, receive, send)
        else:
            metrics.STRANGERS.inc()
            dialect = Dialect.OIP if scope["raw_path"].startswith(b"/v2") else Dialect.MLFLOW
            await _whole(send, 401, written(keys.stranger(), dialect), head=scope["method"] == "HEAD")

    async def _answer(self, exchange: Exchange, body: bytes) -> Reply:
        try:
            exchange.entry = entry = await self._find(exchange)
            entry.enter()
            try:
                return await self._predict(exchange, entry, body)
            finally:
                entry.leave()
        except Refusal as refusal:
            return _refused(exchange, refusal)
        except Exception as error:  # ours: the caller learns that, the log learns what
            self._after.unforeseen(error, exchange.path, exchange.request_id)
            return _refused(exchange, _FAILED)

    async def _find(self, exchange: Exchange) -> Entry:
        try:
            return self._dispatch.find(exchange.route, exchange.sticky)
        except Refusal:
            # Promoted a moment ago, and perhaps in service in another worker already: look before saying no.
            name = exchange.route.name
            if name is None or not await self._dispatch.look(name):
                raise
            return self._dispatch.find(exchange.route, exchange.sticky)

    async def _predict(self, exchange: Exchange, entry: Entry, body: bytes) -> Reply:
        lane = self._dispatch.lane(entry)
        exchange.request = request = Request(
            exchange.route.dialect,
            exchange.content_type,
            body,
            exchange.protocol_headers,
            exchange.strict(self._config.strict),
        )
        if len(body) > _LARGE_BODY:
            question = await lane.in_thread(lane.parse, request)
        else:
            question = lane.parse(request)
        if 0 < question.rows <= lane.inline_rows:
            prediction = lane.predict((question,))[0]
        else:
            prediction = await lane.ask(question, self._config.timeout)
        return lane.encode(request, question, prediction)

    async def _send(self, exchange: Exchange, send: Send) -> None:
        reply = exchange.reply
        assert reply is not None
        headers = [
            (b"content-type", reply.content_type.encode()),
            (b"content-length", b"%d" % len(reply.body)),
            (b"x-request-id", exchange.request_id.encode()),
        ]
        if exchange.entry is not None:
            headers += self._dispatch.lane(exchange.entry).headers
        if reply.headers:
            headers += [(name.lower().encode(), value.encode("latin-1")) for name, value in reply.headers.items()]
        if self.draining:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": exchange.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})

    def _with_id(self, send: Send) -> Send:
        """Every answer has an id to ask about, those of the other routes, too."""

        async def sending(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", self._new_id().encode())]
            await send(message)

        return sending


class _ClientGoneError(Exception):
    """The caller closed the connection before its request was whole."""


async def _whole(send: Send, status: int, reply: Reply, *, head: bool) -> None:
    """Send an answer that has no request id of its own."""
    headers = [(b"content-type", reply.content_type.encode()), (b"content-length", b"%d" % len(reply.body))]
    headers += [(name.lower().encode(), value.encode("latin-1")) for name, value in reply.headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else reply.body})


async def _body(receive: Receive, exchange: Exchange, most: int) -> bytes:
    """The whole body, refused as soon as it is known to be too large."""
    if exchange.method != "POST":
        raise Refusal(405, "ENDPOINT_NOT_FOUND", "this path takes POST", {"Allow": "POST"})
    if exchange.length > most:
        raise _too_large(most)
    message = await receive()
    parts = [message.get("body", b"")]
    size = len(parts[0])
    while message.get("more_body"):
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            raise _too_large(most)
    if message["type"] == "http.disconnect":
        raise _ClientGoneError
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(most: int) -> Refusal:
    return Refusal(
        413, "REQUEST_TOO_LARGE", f"the body is larger than {most >> 20} MiB (HOMEPORT_SERVING_MAX_BODY_MIB)"
    )


def _refused(exchange: Exchange, refusal: Refusal) -> Reply:
    exchange.status = refusal.status
    return written(refusal, exchange.route.dialect)


def written(refusal: Refusal, dialect: Dialect) -> Reply:
    """A refusal in the protocol's own form."""
    if dialect is Dialect.OIP:
        body = {"error": refusal.message}
    else:
        body = {"error_code": refusal.code, "message": refusal.message}
    return Reply(orjson.dumps(body), headers=refusal.headers)
