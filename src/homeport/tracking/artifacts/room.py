"""The artifacts room: decides which artifact requests are answered here, and for whom.

Whatever is not plainly safe and permitted is passed on to MLflow, which answers its own way. Refuses to know how bytes
get to the store and back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from homeport.tracking.artifacts import destination, paths
from homeport.tracking.artifacts.destination import LeftToMlflowError
from homeport.tracking.fast import compatible
from homeport.tracking.front.call import Answer, Call, Guard, Headers, Route, Subject

if TYPE_CHECKING:
    from homeport.tracking.artifacts.transfers import Transfers

Scope = Any
Receive = Any
Send = Any
PassOn = Callable[[Scope, Receive, Send], Awaitable[int]]

_DOWNLOAD, _UPLOAD = "artifact-download", "artifact-upload"
_NAMES = {"GET": _DOWNLOAD, "HEAD": _DOWNLOAD, "PUT": _UPLOAD}
# Conditions on writing, and bodies that stand for something else: nobody asks for these here.
_UNUSUAL = (b"if-match", b"if-unmodified-since", b"content-encoding", b"content-range")
_ONCE = frozenset({b"content-length", b"range", b"transfer-encoding", b"if-none-match", b"if-modified-since"})


class Exchange(NamedTuple):
    """A request and its answer: ASGI's, and `own`, which adds what answers given here have in common."""

    scope: Scope
    receive: Receive
    send: Send
    own: Send


class Artifacts:
    """Proxied uploads and downloads.

    Args:
        environ: what MLflow is told.
        guard: who may.
        pass_on: answers a request by MLflow; gives the status.
    """

    def __init__(self, environ: Mapping[str, str], guard: Guard, pass_on: PassOn) -> None:
        self.reason = ""  # why nothing is answered here; empty when it is
        self._guard = guard
        self._pass_on = pass_on
        self._transfers: Transfers | None = None
        try:
            self._destination = destination.read(environ)
            self.reason = compatible.unwanted(environ)
        except LeftToMlflowError as error:
            self.reason = str(error)

    def find(self, method: str, path: str) -> str:
        """The name of the route when a request may be answered here, else nothing."""
        if self.reason or not path.startswith(paths.PREFIXES):
            return ""
        return _NAMES.get(method, "")

    async def __call__(self, scope: Scope, receive: Receive, send: Send, common: Headers = ()) -> int:
        """Answer; the status, or 0 when nothing was received or sent and the request is to be passed on as it is.

        Args:
            scope: ASGI's.
            receive: ASGI's.
            send: ASGI's.
            common: headers for an answer that is given here.
        """
        method, path = scope["method"], scope["path"]
        route, name = self.find(method, path), paths.artifact(path, scope.get("raw_path", b""))
        headers = _by_name(scope["headers"])
        if not route or not name or headers is None or scope["query_string"]:
            return 0
        if any(one in headers for one in _UNUSUAL) or not await self._is_permitted(route, scope):
            return 0
        transfers = await self._begun()
        answer = transfers.get if route == _DOWNLOAD else transfers.put
        return await answer(name, headers, Exchange(scope, receive, send, _adding(common, send)))

    async def give(self, name: str, scope: Scope, receive: Receive, send: Send, common: Headers) -> int:
        """Answer a GET with an artifact that its sender may have; else as `__call__`."""
        headers = _by_name(scope["headers"])
        if headers is None or any(one in headers for one in _UNUSUAL):
            return 0
        transfers = await self._begun()
        return await transfers.get(name, headers, Exchange(scope, receive, send, _adding(common, send)))

    async def _begun(self) -> Transfers:
        if self._transfers is None:
            made = await asyncio.to_thread(_imported)  # takes long, and hot calls do not wait for it
            self._transfers = self._transfers or made(self._destination, self._pass_on)
        return self._transfers

    async def _is_permitted(self, route: str, scope: Scope) -> bool:
        method = scope["method"]
        call = Call(method, scope["path"], scope["query_string"], scope["headers"], b"")
        return await self._guard.permits(Route(route, method, (scope["path"],), _unanswered, Subject.ARTIFACT), call)

    async def close(self) -> None:
        """End the connections to the store."""
        if self._transfers is not None:
            await self._transfers.close()


def _imported() -> type[Transfers]:
    from homeport.tracking.artifacts.transfers import Transfers

    return Transfers


async def _unanswered(_: Call) -> Answer | None:
    return None


def _by_name(headers: Headers) -> dict[bytes, bytes] | None:
    """Headers by name; None where one that decides here is said twice."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in found and name in _ONCE:
            return None
        found[name] = value
    return found


def _adding(common: Headers, send: Send) -> Send:
    async def own(message: Any) -> None:  # noqa: ANN401 - ASGI's
        if message["type"] == "http.response.start":
            present = {name for name, _ in message["headers"]}
            message["headers"] = [*message["headers"], *(one for one in common if one[0] not in present)]
        await send(message)

    return own
