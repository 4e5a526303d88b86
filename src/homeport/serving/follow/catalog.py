"""The table of what is loaded: requests read it without a lock, a new one takes its place as a whole.

What fell out of it is closed when its last request is answered. It refuses to know why a version was chosen.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from homeport.serving.follow.versions import RegisteredVersion
from homeport.serving.servable import Servable

_log = logging.getLogger(__name__)


class Entry:
    """One loaded version and how many requests it is answering. `enter` and `leave` belong to the event loop.

    Args:
        servable: the model.
        version: what the registry calls it.
        since: when it began to serve, in seconds since the epoch.
        release: called after the model is closed: its files may go.
    """

    __slots__ = ("_release", "_retired", "in_flight", "servable", "since", "version")

    def __init__(
        self, servable: Servable, version: RegisteredVersion, since: float, release: Callable[[], None] | None = None
    ) -> None:
        self.servable = servable
        self.version = version
        self.since = since
        self.in_flight = 0
        self._release = release
        self._retired: Callable[[], None] | None = None

    def enter(self) -> None:
        """A request begins; it keeps the model open."""
        self.in_flight += 1

    def leave(self) -> None:
        """The request has ended."""
        self.in_flight -= 1
        if self._retired is not None and self.in_flight == 0:
            self._retired()

    def retire(self, idle: Callable[[], None]) -> None:
        """No new request comes; `idle` is called once, when the last one has left."""
        called = False

        def once() -> None:
            nonlocal called
            if not called:
                called = True
                idle()

        self._retired = once
        if self.in_flight == 0:
            once()

    def close(self) -> None:
        """Free the model, then its files; blocking."""
        try:
            self.servable.close()
        finally:
            if self._release is not None:
                self._release()


def _frozen() -> Mapping[tuple[str, str], Entry]:
    return MappingProxyType({})


@dataclass(frozen=True)
class Snapshot:
    """What is served at one moment; never changed.

    Args:
        by_version: (registered model, version) -> entry.
        by_alias: (registered model, alias) -> entry, for every alias that is followed.
        default: registered model -> the entry that answers without a version or an alias being named.
        sole: the default of the only registered model that is to be served; None when there are several, or none.
    """

    by_version: Mapping[tuple[str, str], Entry] = field(default_factory=_frozen)
    by_alias: Mapping[tuple[str, str], Entry] = field(default_factory=_frozen)
    default: Mapping[str, Entry] = field(default_factory=lambda: MappingProxyType({}))
    sole: Entry | None = None

    @property
    def entries(self) -> frozenset[Entry]:
        """Every entry once."""
        return frozenset((*self.by_version.values(), *self.by_alias.values(), *self.default.values()))

    def versions(self, name: str) -> list[str]:
        """The versions of a registered model that are loaded, in order."""
        return sorted((version for found, version in self.by_version if found == name), key=int)


class Catalog:
    """The present snapshot. `replace` belongs to the event loop, reading to anybody."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self._closing: set[asyncio.Future[None]] = set()

    def replace(self, snapshot: Snapshot) -> None:
        """Serve by this one from now on; what it no longer holds is drained and closed."""
        before, self.snapshot = self.snapshot, snapshot
        for entry in before.entries - snapshot.entries:
            self._drain(entry)

    async def drained(self) -> None:
        """Wait until everything that fell out is closed."""
        while self._closing:
            await asyncio.wait(self._closing)

    @property
    def draining(self) -> int:
        """How many versions are no longer served and not yet closed."""
        return len(self._closing)

    def _drain(self, entry: Entry) -> None:
        loop = asyncio.get_running_loop()
        closed: asyncio.Future[None] = loop.create_future()
        self._closing.add(closed)
        closed.add_done_callback(self._closing.discard)

        def finished() -> None:
            if not closed.done():
                closed.set_result(None)

        def close() -> None:
            try:
                entry.close()
            except Exception:  # a model's own code; the service goes on without it either way
                _log.exception("%s/%s did not close cleanly", entry.version.name, entry.version.version)
            finally:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(finished)

        name = f"close {entry.version.name}/{entry.version.version}"
        entry.retire(lambda: threading.Thread(target=close, name=name, daemon=True).start())
