"""Asking for a look at the registry now, from any thread: one look answers all requests that came before it began.

A look under way that began before the request does not count: it may have asked the registry too early.
"""

from __future__ import annotations

import threading
import time
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class PollResult:
    """What one look did; JSON-able by `as_dict`.

    Args:
        ok: everything that the registry has of what was looked at is served; what it no longer has may go on, stale.
        changes: {"name", "reference", "from", "to"} for each version that changed; "" for none.
        failures: {"name", "version", "reference", "error"} for each that could not be served.
        registry: {"reachable": bool, "error": str | None}.
    """

    ok: bool
    changes: list[dict[str, str]] = field(default_factory=list)
    failures: list[dict[str, str]] = field(default_factory=list)
    registry: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


@dataclass(eq=False)
class _Request:
    names: frozenset[str] | None
    done: threading.Event = field(default_factory=threading.Event)
    result: PollResult | None = None


class Polls:
    """The requests that wait for the next look."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[_Request] = []
        self._stopped = False

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped

    def ask(self, names: frozenset[str] | None, timeout: float) -> PollResult:
        """Wait for a look that begins after this call.

        Args:
            names: registered models that matter; None for all.
            timeout: seconds.
        """
        request = _Request(names)
        with self._changed:
            if not self._stopped:
                self._waiting.append(request)
                self._changed.notify_all()
        if self._stopped:
            return failed("", "the server is stopping")
        if not request.done.wait(timeout):
            return failed("", f"the look at the registry did not end within {timeout:g} s; it goes on")
        return request.result or failed("", "the look at the registry ended without a result; the log says why")

    def wait(self, until: float) -> list[_Request]:
        """Wait for requests, or for the monotonic time `until`; then take all requests that are there."""
        with self._changed:
            while not self._waiting and not self._stopped and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            taken, self._waiting = self._waiting, []
            return taken

    def stop(self) -> None:
        """Let everybody go who waits."""
        with self._changed:
            self._stopped = True
            for request in self._waiting:
                request.done.set()
            self._waiting.clear()
            self._changed.notify_all()


def names_of(requests: list[_Request]) -> frozenset[str] | None:
    """The models that any of these asks for; None when one of them asks for all."""
    names: set[str] = set()
    for request in requests:
        if request.names is None:
            return None
        names |= request.names
    return frozenset(names)


def answer(requests: list[_Request], result: PollResult | None) -> None:
    """Give the look's result to everyone who waited for it."""
    for request in requests:
        request.result = result
        request.done.set()


def failed(name: str, why: str) -> PollResult:
    """The result when nothing was looked at."""
    row = {"name": name, "version": "", "reference": "", "error": why}
    return PollResult(ok=False, failures=[row], registry={"reachable": None, "error": None})
