"""What a running graph leaves to read: events for whoever listens, run/state.json, run/timings.json.

Told of each change by the engine. Refuses to decide anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from homeport.supervisor import ledger, timings
from homeport.supervisor.events import Changed, Event, Ready, Restarted, Warned
from homeport.supervisor.files import disk_error
from homeport.supervisor.layout import Home
from homeport.supervisor.register import Registry
from homeport.supervisor.status import ServiceStatus
from homeport.supervisor.unit import Unit


class Journal:
    """Writes down one run of a graph.

    Args:
        home: where it is written.
        emit: hears of every event, in order.
        clock: seconds since the epoch.
        register: knows the processes.
        snapshot: how everything stands.
    """

    def __init__(
        self,
        home: Home,
        *,
        emit: Callable[[Event], None],
        clock: Callable[[], float],
        register: Registry,
        snapshot: Callable[[], Sequence[ServiceStatus]],
    ) -> None:
        self._home, self._emit, self._clock, self._register, self._snapshot = home, emit, clock, register, snapshot
        self._stopwatch = timings.Stopwatch()
        self._began = 0.0
        self._starting = True

    def begin(self) -> None:
        """The start begins now.

        Raises:
            HomeportError: DISK_FULL or HOME_NOT_WRITABLE.
        """
        self._began = _time()
        self.record()

    def changed(self, unit: Unit) -> None:
        """A unit is in another state."""
        status, now = unit.status, _time()
        self._stopwatch.note(status, now - self._began)
        seconds = now - unit.begun if unit.begun else 0.0
        self._emit(
            Changed(self._clock(), status.name, status.kind, status.owner, status.state, status.detail, seconds),
        )
        self._write()

    def record(self) -> None:
        """Write down what runs, before it runs.

        Raises:
            HomeportError: during the start, when the disk refuses. Later it is enough that the warden knows.
        """
        error = self._write()
        if error and self._starting:
            raise disk_error(error, "what runs could not be written down") from error

    def ready(self) -> None:
        """Everything is ready."""
        self._starting = False
        try:
            timings.write(self._home, self._stopwatch.timings)
        except OSError as error:
            self._emit(Warned(self._clock(), f"the timings of this start were not kept: {error.strerror}"))
        self._emit(Ready(self._clock(), _time() - self._began))

    def restarted(self, name: str, seconds: float) -> Restarted:
        """A service came back, as it was asked to."""
        event = Restarted(self._clock(), name, seconds)
        self._emit(event)
        return event

    def _write(self) -> OSError | None:
        try:
            ledger.write(self._home, self._snapshot(), self._register.entries)
        except OSError as error:
            return error
        return None


def _time() -> float:
    return asyncio.get_running_loop().time()
