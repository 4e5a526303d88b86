"""One worker's follower with everything real behind it: registry, cache, catalog, event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from homeport.serving.follow.cache import Cache
from homeport.serving.follow.catalog import Catalog, Snapshot
from homeport.serving.follow.download import Download
from homeport.serving.follow.follower import Follower
from homeport.serving.follow.references import parse
from homeport.serving.follow.registry import Registry
from homeport.serving.follow.versions import RegisteredVersion
from homeport.serving.servable import Dialect, Request, Servable
from tests.programs.serving.follow.linear import Linear

NEVER = 3600.0


def load(path: Path, version: RegisteredVersion) -> Servable:
    return Linear.load(path, name=version.name, version=version.version)


class Worker:
    """A follower that is started; looks by itself only when `interval` is given."""

    def __init__(self, uri: str, serve: str, directory: Path, *, interval: float = NEVER, limit: int = 2**30) -> None:
        self.observed: list[tuple[Any, ...]] = []
        self.loop = asyncio.new_event_loop()
        self._runs = threading.Thread(target=self.loop.run_forever)
        registry = Registry(uri, {})
        self.cache = Cache(directory, limit, Download(registry))
        self.catalog = Catalog()
        self.follower = Follower(
            parse(serve),
            registry,
            self.cache,
            self.catalog,
            load,
            interval=interval,
            on_loop=self.loop.call_soon_threadsafe,
            observe=self,
        )

    def reloaded(self, name: str, version: str, seconds: float) -> None:
        self.observed.append(("reloaded", name, version))

    def failed(self, name: str, version: str, error: str) -> None:
        self.observed.append(("failed", name, version))

    def registry(self, reachable: bool) -> None:
        self.observed.append(("registry", reachable))

    def __enter__(self) -> Self:
        self._runs.start()
        self.follower.start()
        assert self.follower.first.wait(60)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.follower.stop(60)
        self.on_loop(lambda: self.catalog.replace(Snapshot()))
        asyncio.run_coroutine_threadsafe(self.catalog.drained(), self.loop).result(60)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._runs.join(60)
        self.loop.close()

    def on_loop(self, function: Callable[[], Any]) -> Any:
        """The result of a function run on the event loop, after all that was sent there before."""
        done: Future[Any] = Future()
        self.loop.call_soon_threadsafe(lambda: done.set_result(function()))
        return done.result(60)

    @property
    def snapshot(self) -> Snapshot:
        found: Snapshot = self.on_loop(lambda: self.catalog.snapshot)
        return found

    def version_of(self, name: str) -> str | None:
        entry = self.snapshot.default.get(name)
        return entry.version.version if entry else None

    def answer(self, name: str, x: float) -> float:
        """What the default version of a model predicts."""
        servable = self.snapshot.default[name].servable
        request = Request(Dialect.MLFLOW, "application/json", str(x).encode())
        question = servable.parse(request)
        return float(servable.encode(request, question, servable.predict([question])[0]).body)

    def row(self, name: str) -> dict[str, Any]:
        (row,) = [row for row in self.follower.status()["models"] if row["name"] == name]
        return dict(row)

    @property
    def failures(self) -> list[dict[str, Any]]:
        return list(self.follower.status()["failures"])


def eventually(check: Callable[[], object], timeout: float = 60) -> None:
    """Wait until it is true."""
    pause, left = threading.Event(), timeout
    while not check():
        assert left > 0, "it did not happen"
        pause.wait(0.02)
        left -= 0.02
