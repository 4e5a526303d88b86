"""Both servers asked the same, their answers and their rows compared. Refuses to know which calls there are."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from tests.differential.memory import Memory, parsed, written
from tests.differential.pair import Side
from tests.differential.shapes import CREATE_EXPERIMENT, CREATE_LOGGED_MODEL, CREATE_RUN
from tests.differential.tables import Tables
from tests.differential.wire import Reply, Request, Wire

_RANDOM = re.compile(rb"@[RM]\d+@")
_BACKSLASH = rb"\\"  # as JSON writes one; alone it may be a quote's
_STEP = 1000  # serial numbers one sequence may use
_TICK = 0.002  # s; MLflow's times are whole milliseconds, and what is ordered by them must have an order
_MAKES = ("/create", "/logged-models", "/update", "/alias", "/set-experiment-tag", "/restore", "/delete")


class One:
    """One server in one sequence."""

    def __init__(self, side: Side, connection: Any) -> None:
        self.side = side
        self.wire = Wire(side.url)
        self.tables = Tables(connection)
        self.memory = Memory()

    def filled(self, request: Request) -> Request:
        memory = self.memory
        body = None if request.body is None else memory.fill(request.body)
        target = memory.fill(request.target.encode(), target=True).decode()
        headers = tuple((name, memory.fill(value.encode()).decode()) for name, value in request.headers)
        return replace(request, target=target, body=body, headers=headers)

    def shown(self, reply: Reply) -> str:
        """The answer as it is compared; what it gave is remembered."""
        here = f"{self.wire.host}:{self.wire.port}"
        body = parsed(reply.body.replace(here.encode(), b"<here>"))
        self.memory.learn(body)
        told = sorted((name, self.memory.alike(text.replace(here, "<here>"))) for name, text in reply.told.items())
        return f"{reply.status} {reply.kind} {told} {written(self.memory.alike(body))}"


class Both:
    """Stock MLflow and Homeport."""

    def __init__(self, stock: One, homeport: One) -> None:
        self.stock = stock
        self.homeport = homeport
        self._serial = 0
        self.asked = 0

    def close(self) -> None:
        """End the connections."""
        for one in (self.stock, self.homeport):
            one.wire.close()

    def begin(self) -> None:
        """A new sequence on empty databases, with an experiment, two runs and a logged model in it."""
        self._serial += _STEP
        for one in (self.stock, self.homeport):
            one.tables.empty(self._serial)
            one.memory = Memory(self._serial)
        made = [
            CREATE_EXPERIMENT.request(CREATE_EXPERIMENT.right[:1]), CREATE_RUN.request(CREATE_RUN.right),
            CREATE_RUN.request(CREATE_RUN.right[:3]), CREATE_LOGGED_MODEL.request(CREATE_LOGGED_MODEL.right[:2]),
        ]  # fmt: skip
        for request in made:
            found = self.difference(request)
            assert not found, found
        assert self.stock.memory.runs
        assert self.stock.memory.models

    def difference(self, request: Request) -> str:
        """What the two answers differ in; empty if in nothing."""
        self.asked += 1
        request = self._comparable(request)
        mine, theirs = self.homeport.filled(request), self.stock.filled(request)
        self.stock.wire.send(theirs)
        self.homeport.wire.send(mine)
        stock = self.stock.shown(self.stock.wire.receive())
        ours = self.homeport.shown(self.homeport.wire.receive())
        for one in (self.stock, self.homeport):
            one.memory.count += 1
        if any(mark in request.target for mark in _MAKES):
            time.sleep(_TICK)
        return "" if stock == ours else f"{request}\n    stock {_short(stock)}\n    ours  {_short(ours)}"

    def _comparable(self, request: Request) -> Request:
        """The request; with fewer random ids in it where both servers are right with another answer.

        Upstream orders what it tells of two runs by their ids, which may be in another order on the two servers; and
        it takes a backslash before a quote for no end of a text, so that ids stand outside of quotes, where its words
        for a bad filter depend on whether one begins like a number.
        """
        if b'"filter"' in (body := request.body or b"") and _BACKSLASH in body:
            return replace(request, body=_RANDOM.sub(b"nobody", body))
        if not ("@R0@" in request.target and "@R1@" in request.target):
            return request
        orders = {one.memory.fill(b"@R0@") < one.memory.fill(b"@R1@") for one in (self.stock, self.homeport)}
        return request if len(orders) == 1 else replace(request, target=request.target.replace("@R1@", "@R0@"))

    def rows_differ(self) -> str:
        """What the rows of all tables differ in; empty if in nothing."""
        theirs, ours = (one.tables.rows(one.memory) for one in (self.stock, self.homeport))
        only = [f"    only stock {row}" for row in (theirs - ours).elements()]
        only += [f"    only ours  {row}" for row in (ours - theirs).elements()]
        return "rows:\n" + "\n".join(_short(row) for row in only[:20]) if only else ""

    def burst(self, requests: Sequence[Request], connections: int) -> tuple[list[int], list[int]]:
        """The same requests at once on many connections to each; the statuses, sorted."""
        return self._fire(self.stock, requests, connections), self._fire(self.homeport, requests, connections)

    def _fire(self, one: One, requests: Sequence[Request], connections: int) -> list[int]:
        def some(mine: Iterable[Request]) -> list[int]:
            wire = Wire(one.side.url)
            try:
                return [wire.ask(one.filled(request)).status for request in mine]
            finally:
                wire.close()

        with ThreadPoolExecutor(connections) as pool:
            parts = pool.map(some, [requests[index::connections] for index in range(connections)])
            return sorted(status for part in parts for status in part)


def _short(text: str) -> str:
    return text if len(text) < 1200 else f"{text[:1000]} … {text[-150:]}"
