"""Group commit: concurrent requests share one statement, and each is answered after that statement committed.

Items of one run are never in two groups in flight and keep their order of arrival. A second group is in flight only
where much waits: two small ones cost twice the work of one. One bad item never fails its
neighbours: a group that the database refuses is written item by item, and what fails alone is left to MLflow.
Refuses to know tables and HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import deque
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, Protocol

import orjson

from homeport.tracking.fast.database import Connection, Database, is_away, is_lost, is_passing, is_raced, is_refusal
from homeport.tracking.front.call import Answer

WRITERS = 2  # groups in flight
MANY_ROWS = 128  # that must wait before a second group is sent
MOST_ITEMS = 512  # in one group
MOST_ROWS = 2048  # in one group
_LOOK_AHEAD = 256  # items of other kinds that a group may pass by
_QUEUED_ITEMS = 8192
_QUEUED_BYTES = 64 * 2**20
_TRIES = 5  # after a deadlock or the like
_PATIENCE = 10.0
_PAUSE = 0.1


def _error(status: int, code: str, message: str) -> Answer:
    return Answer(orjson.dumps({"error_code": code, "message": message}), status, headers=((b"retry-after", b"1"),))


BUSY = _error(429, "RESOURCE_EXHAUSTED", "too many requests wait for the database; try again")
UNKNOWN = _error(503, "TEMPORARILY_UNAVAILABLE", "the database went away before it said what became of this; try again")


class Item:
    """One request's share of a group."""

    __slots__ = ("answer", "data", "kind", "rows", "run", "size")

    def __init__(self, kind: Kind, run: str, data: Any, rows: int, size: int) -> None:  # noqa: ANN401 - the kind's own
        self.kind = kind
        self.run = run
        self.data = data
        self.rows = rows
        self.size = size
        self.answer: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()


class Kind(Protocol):
    """How items of one kind are written together."""

    name: str

    def admission(self) -> Callable[[Item], bool] | None:
        """For one new group: what says of each item whether it may join those that joined before. None: all may."""

    async def write(self, connection: Connection, items: Sequence[Item], again: bool) -> list[Answer | None]:
        """Write them in one transaction; `None` for each of which nothing was written.

        Args:
            connection: not in a transaction.
            items: in their order of arrival.
            again: an earlier attempt may have committed; what it wrote must be found and not written twice.
        """


def one_of_a_run() -> Callable[[Item], bool]:
    """An admission: each run once."""
    runs: set[str] = set()

    def admits(item: Item) -> bool:
        if item.run in runs:
            return False
        runs.add(item.run)
        return True

    return admits


class Groups:
    """The queue, and the groups that are being written.

    Args:
        database: MLflow's.
        items: how many may wait or be written at once.
        size: how many bytes of them.
        patience: seconds to find out what became of a group whose connection was lost.
    """

    def __init__(
        self,
        database: Database,
        *,
        items: int = _QUEUED_ITEMS,
        size: int = _QUEUED_BYTES,
        patience: float = _PATIENCE,
    ) -> None:
        self._database = database
        self._most_items = items
        self._most_bytes = size
        self._patience = patience
        self._queue: deque[Item] = deque()
        self._waiting = 0  # rows in the queue
        self._busy: set[str] = set()  # runs in flight
        self._tasks: list[asyncio.Task[None] | None] = [None] * WRITERS
        # Between groups: to get a connection from the pool costs as much as a small group.
        self._kept: list[Connection | None] = [None] * WRITERS
        self.depth = 0  # items that wait or are being written
        self.size = 0  # their bytes
        self.groups = 0  # written so far
        self.rows = 0  # in them
        self.group_seconds = 0.0  # that took

    async def write(self, kind: Kind, run: str, data: Any, rows: int, size: int) -> Answer | None:  # noqa: ANN401
        """Write one request; returns once it is committed, or surely will not be.

        Args:
            kind: how.
            run: what keeps its order: a run's id.
            data: what, as the kind reads it.
            rows: about how many.
            size: about how many bytes are kept for it.
        """
        if self.depth >= self._most_items or self.size + size > self._most_bytes:
            return BUSY
        item = Item(kind, run, data, rows, size)
        self._queue.append(item)
        self._waiting += rows
        self.depth += 1
        self.size += size
        if self._waiting >= MANY_ROWS or self._tasks.count(None) == WRITERS:
            self._start()
        return await item.answer

    def _start(self) -> None:
        """Set one more to work, if there is one; not at once: what arrives in the same turn of the loop joins."""
        if None in self._tasks:
            index = self._tasks.index(None)
            self._tasks[index] = asyncio.get_running_loop().create_task(self._work(index))

    async def close(self) -> None:
        """Write what waits, and let go of the connections."""
        while tasks := {task for task in self._tasks if task is not None}:
            await asyncio.wait(tasks)
        for index in range(WRITERS):
            await self._let_go(index)

    async def _connection(self, index: int) -> Connection:
        kept = self._kept[index]
        if kept is not None and is_lost(kept):
            await self._let_go(index)
            kept = None
        if kept is None:
            kept = self._kept[index] = await self._database.acquire()
        return kept

    async def _let_go(self, index: int) -> None:
        kept, self._kept[index] = self._kept[index], None
        if kept is not None:
            with contextlib.suppress(Exception):  # it was lost
                await self._database.release(kept)

    async def _work(self, index: int) -> None:
        try:
            # Where all that waits is about runs in flight, the other writer goes on with it.
            while items := self._take():
                if self._waiting >= MANY_ROWS:
                    self._start()
                runs = {item.run for item in items}
                self._busy |= runs
                started = perf_counter()
                answers: Sequence[Answer | None] = ()
                try:
                    answers = await self._write(index, items)
                finally:
                    self._busy -= runs
                    self._finish(items, answers or [UNKNOWN] * len(items))
                    self.group_seconds += perf_counter() - started
        finally:
            self._tasks[index] = None

    def _finish(self, items: Sequence[Item], answers: Sequence[Answer | None]) -> None:
        self.groups += 1
        self.depth -= len(items)
        for item, answer in zip(items, answers, strict=True):
            self.rows += item.rows
            self.size -= item.size
            # A client that went away cancelled its future, and only that.
            if not item.answer.done():
                item.answer.set_result(answer)

    def _take(self) -> list[Item]:
        """The next group: of the first free item's kind, and nothing of a run that something earlier waits for."""
        queue = self._queue
        kind: Kind | None = None
        admits: Callable[[Item], bool] | None = None
        taken: list[Item] = []
        passed: list[Item] = []
        barred = set(self._busy)
        rows = 0
        most = min(max(MANY_ROWS, self._waiting // WRITERS), MOST_ROWS)
        while queue and len(taken) < MOST_ITEMS and rows < most and len(passed) < _LOOK_AHEAD:
            item = queue.popleft()
            if kind is None and item.run not in barred:
                kind = item.kind
                admits = kind.admission()
            if item.kind is kind and item.run not in barred and (admits is None or admits(item)):
                taken.append(item)
                rows += item.rows
            else:
                passed.append(item)
                barred.add(item.run)
        queue.extendleft(reversed(passed))
        self._waiting -= rows
        return taken

    async def _write(self, index: int, items: list[Item], lost: float = 0.0) -> list[Answer | None]:
        """Write a group; `lost` is when it became unclear whether it had been committed."""
        kind = items[0].kind
        tries = _TRIES
        while True:
            asked = False
            try:
                connection = await self._connection(index)
                asked = True
                return await kind.write(connection, items, lost > 0)
            except Exception as error:
                if is_away(error):
                    await self._let_go(index)
                    if not asked and not lost:
                        return [None] * len(items)
                    lost = lost or perf_counter()
                    if perf_counter() - lost > self._patience:
                        return [UNKNOWN] * len(items)
                    await asyncio.sleep(_PAUSE)
                elif (is_passing(error) or is_raced(error)) and tries > 0:
                    tries -= 1
                elif len(items) > 1:
                    return [(await self._write(index, [item], lost))[0] for item in items]
                else:
                    if not is_refusal(error):
                        sys.stderr.write(f"fast lane: {kind.name} is left to MLflow: {error!r}\n")
                    return [None]
