"""The front alone, before servers of a test's own: `python -m ... PORT PATIENCE SOCKET...`."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import orjson
import uvicorn

from homeport.tracking.front import slow
from homeport.tracking.front.app import Front
from homeport.tracking.front.around import Around
from homeport.tracking.front.call import Answer, Call, Guard, HotCall, Route, Subject, Table
from homeport.tracking.front.metrics import Counts, Gauges
from homeport.tracking.front.origins import Origins
from homeport.tracking.front.pages import Pages
from homeport.tracking.front.private import Private
from homeport.tracking.front.proxy import Proxy
from homeport.tracking.front.ready import Lane, Ready
from homeport.tracking.front.server import STOCK_METRICS, listening

_done: list[str] = []


async def _answer(call: Call) -> Answer | None:
    return Answer(b'{"hot":%d}' % len(call.body))


async def _ask(call: Call) -> Answer | None:
    return Answer(orjson.dumps(call.query.decode()))


async def _leave(_call: Call) -> Answer | None:
    return None


async def _fail(_call: Call) -> Answer | None:
    raise LookupError("nobody foresaw this")


async def _refuse(_call: Call) -> Answer | None:
    return Answer(b"{}", 429, headers=((b"retry-after", b"1"),))


async def _write(call: Call) -> Answer | None:
    await asyncio.sleep(0.3)  # until its client has gone
    _done.append(call.body.decode())
    return Answer(b"{}")


async def _take_long(call: Call) -> Answer | None:
    _done.append(call.body.decode())
    await asyncio.sleep(1.5)  # so that the server is told to end meanwhile
    return Answer(b"{}")


async def _tell(_call: Call) -> Answer | None:
    return Answer(orjson.dumps(_done))


def _route(name: str, method: str, handle: HotCall) -> Route:
    return Route(name, method, (f"/echo/{name}",), handle, Subject.NOTHING)


class SomeLane:
    """Hot calls that do what a test wants to see."""

    table = Table(
        [
            _route("answered", "POST", _answer), _route("asked", "POST", _ask),
            _route("left", "POST", _leave), _route("left", "GET", _leave),
            _route("failing-read", "GET", _fail), _route("failing-write", "POST", _fail),
            _route("refused", "POST", _refuse), _route("long", "POST", _take_long),
            _route("written", "POST", _write), _route("done", "GET", _tell),
            Route("search-failing", "POST", ("/echo/search",), _fail, Subject.NOTHING),
        ]
    )  # fmt: skip

    def start(self) -> None:
        """Nothing to open."""

    async def settled(self) -> None:
        """At once."""

    async def close(self) -> None:
        """Nothing to close."""


class State:
    """Of no lane."""

    def __init__(self, private: Private) -> None:
        self._private = private

    def lane(self) -> tuple[bool, str]:
        return False, "this is a test"

    def pool(self) -> tuple[int, int]:
        return 0, 0

    def groups(self) -> dict[str, Gauges]:
        return {}

    def waiting(self) -> int:
        return self._private.waiting


def front(private: Private, patience: float) -> Front:
    """The application."""
    shared: Any = {
        "guard": Guard(),
        "origins": Origins(os.environ),
        "counts": Counts(),
        "slow": slow.SlowLog(slow.limit(os.environ)),
    }
    around = Around(
        **shared,
        pages=Pages(os.environ, logins=False),
        ready=Ready(private, lambda: Lane(on=False, why="this is a test"), lambda: "this is a test"),
        state=State(private),
        discreet=False,
        own_metrics=not os.environ.get(STOCK_METRICS),
    )
    return Front(**shared, lane=SomeLane(), proxy=Proxy(private, patience), around=around, closes=(private.close,))


def main() -> None:
    """Serve until SIGTERM."""
    port, patience, *sockets = sys.argv[1:]
    private = Private(sockets, most_waiting=int(os.environ.get("MOST_WAITING", "256")))
    config = listening(front(private, float(patience)))
    config.host, config.port = "127.0.0.1", int(port)
    if os.environ.get("PLAIN"):  # to compare with
        config.http = "httptools"
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
