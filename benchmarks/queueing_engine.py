"""A discrete-event simulation: a clock, stations with servers and a queue, a flush that takes all who wait along.

Times are seconds. Refuses to know what is simulated; tests/unit/benchmarks hold it to M/M/c and M/D/1.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

Then = Callable[[], None]


class Clock:
    """What happens when, in order; what happens at once keeps its order."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Then]] = []
        self._count = 0

    def after(self, delay: float, then: Then) -> None:
        """Do that so much later."""
        self._count += 1
        heapq.heappush(self._due, (self.now + delay, self._count, then))

    def run(self, until: float) -> None:
        """Let time pass; what is due later is left undone."""
        while self._due and self._due[0][0] <= until:
            self.now, _, then = heapq.heappop(self._due)
            then()
        self.now = until


@dataclass
class Station:
    """So many servers and one queue, first come first served.

    Args:
        clock: of the simulation.
        servers: that work at the same time.
        room: that may wait; beyond it `submit` refuses.
    """

    clock: Clock
    servers: int
    room: float = float("inf")
    busy: int = 0
    worked: float = 0.0
    _waiting: deque[tuple[float, Then]] = field(default_factory=deque)

    def submit(self, work: float, then: Then) -> bool:
        """Have so many seconds of work done, then go on; False when there was no room."""
        if self.busy < self.servers:
            self._start(work, then)
        elif len(self._waiting) < self.room:
            self._waiting.append((work, then))
        else:
            return False
        return True

    def utilisation(self, seconds: float) -> float:
        """The share of its servers' time that was worked."""
        return self.worked / (self.servers * seconds)

    def _start(self, work: float, then: Then) -> None:
        self.busy += 1
        self.worked += work

        def done() -> None:
            self.busy -= 1
            if self._waiting:
                self._start(*self._waiting.popleft())
            then()

        self.clock.after(work, done)


@dataclass
class Flush:
    """A log on a disk: one flush at a time, each for all who had asked when it began (PostgreSQL's commit).

    Args:
        clock: of the simulation.
        takes: seconds a flush.
    """

    clock: Clock
    takes: float
    worked: float = 0.0
    _waiting: list[Then] = field(default_factory=list)
    _running: bool = False

    def submit(self, then: Then) -> None:
        """Go on once it is on the disk."""
        self._waiting.append(then)
        if not self._running:
            self._start()

    def _start(self) -> None:
        taken, self._waiting = self._waiting, []
        self._running = True
        self.worked += self.takes

        def done() -> None:
            self._running = False
            if self._waiting:
                self._start()
            for then in taken:
                then()

        self.clock.after(self.takes, done)


@dataclass
class Gather:
    """Requests that share a transaction, as the fast lane's group commit has them (tracking/fast/writes/group.py).

    Args:
        commit: has so many rows written and goes on: the database.
        lanes: transactions at once; a second one only where `many` rows wait.
        many: rows.
        items: requests of one transaction at most.
        rows: rows of one at most.
    """

    commit: Callable[[int, Then], None]
    lanes: int = 2
    many: int = 128
    items: int = 512
    rows: int = 2048
    groups: int = 0
    _waiting: deque[tuple[int, Then]] = field(default_factory=deque)
    _waiting_rows: int = 0
    _busy: int = 0

    def submit(self, rows: int, then: Then) -> None:
        """Go on once these rows are committed."""
        self._waiting.append((rows, then))
        self._waiting_rows += rows
        self._next()

    def _next(self) -> None:
        if not self._waiting or self._busy >= self.lanes or (self._busy and self._waiting_rows < self.many):
            return
        taken: list[Then] = []
        total = 0
        while self._waiting and len(taken) < self.items and (not taken or total + self._waiting[0][0] <= self.rows):
            rows, then = self._waiting.popleft()
            taken.append(then)
            total += rows
        self._waiting_rows -= total
        self._busy += 1
        self.groups += 1

        def done() -> None:
            self._busy -= 1
            self._next()
            for then in taken:
                then()

        self.commit(total, done)
