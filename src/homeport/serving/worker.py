"""One worker process: the follower that loads models, the application that serves them, and what joins the two.

READ FIRST in this room. A request goes front -> dispatch -> lane -> servable; a model comes registry -> follower ->
cache -> servable -> catalog.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from importlib.metadata import version
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from fastapi import FastAPI

from homeport.serving import metrics
from homeport.serving.after import After
from homeport.serving.api import application
from homeport.serving.config import ServingConfig
from homeport.serving.dispatch import Dispatch
from homeport.serving.feedback.routes import router
from homeport.serving.follow.cache import Cache
from homeport.serving.follow.catalog import Catalog
from homeport.serving.follow.download import Download
from homeport.serving.follow.follower import Follower
from homeport.serving.follow.registry import RegisteredVersion, Registry
from homeport.serving.follow.webhook import Webhook
from homeport.serving.front import Front
from homeport.serving.lane import Lane
from homeport.serving.refusal import Refusal
from homeport.serving.routes import Route
from homeport.serving.servable import Description, Dialect
from homeport.serving.siblings import Mesh, Siblings
from homeport.serving.tracing import Tracing
from homeport.serving.wire import Protocol

if TYPE_CHECKING:
    from homeport.serving.feedback.log import PredictionLog
    from homeport.serving.follow.polls import PollResult

_DRAIN_SECONDS = 20
_TICK_SECONDS = 1.0
_RELOAD_SECONDS, _LOAD_SECONDS = 240.0, 1.0
_ACCEPT_SECONDS, _READY_SECONDS = 10.0, 60.0  # the longest that the first look at the registry holds these up


def serve(config: ServingConfig, mesh: Mesh, index: int, listener: socket.socket) -> None:
    """Serve on this socket until SIGTERM, then finish what has begun."""
    worker = Worker(config, mesh, index)
    server = uvicorn.Server(
        uvicorn.Config(
            worker.front,
            http=Protocol,
            loop="uvloop",
            lifespan="on",
            proxy_headers=False,  # nothing here depends on who asks, and each answer would pay for it
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_DRAIN_SECONDS,
            timeout_keep_alive=75,
        )
    )
    server.run(sockets=[listener])


class Worker:
    """Everything one worker holds; the `Board` behind the API and the observer of the follower."""

    def __init__(self, config: ServingConfig, mesh: Mesh, index: int) -> None:
        self._config = config
        self._index = index
        self._catalog = Catalog()
        self._dispatch = Dispatch(self._catalog, config.rules, config.references, self._look_for)
        self._log = _prediction_log(config, index)
        self._tracing = Tracing.from_environ()
        self._after = After(config, self._dispatch, self._log, self._tracing)
        self._webhook = Webhook(config.webhook_secret) if config.webhook_secret else None
        registry = Registry(config.tracking_uri, os.environ)
        self._follower = Follower(
            config.references,
            registry,
            Cache(config.cache, config.cache_limit, Download(registry, config.shared)),
            self._catalog,
            self._load,
            interval=config.poll,
            on_loop=self._on_loop,
            observe=self,
        )
        self._siblings = Siblings(
            mesh,
            index,
            {"reload": self._reload, "load": self._load_name, "unload": self._unload_name, "served": self._served},
        )
        feedback = router(config.prediction_uri if config.log_on else None)
        api = application(self, feedback, self._lifespan, keyed=bool(config.keys))
        self.front = Front(config, self._dispatch, self._after, api)
        self._tasks: set[asyncio.Task[Any]] = set()

    # -- life

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        self._siblings.open()
        self._follower.start()
        self._keep(self._tick())
        looked = asyncio.create_task(self._first_look())
        self._tasks.add(looked)
        # No connection is accepted before: who comes meanwhile waits in the socket's queue instead of getting a 503.
        await asyncio.wait({looked}, timeout=_ACCEPT_SECONDS)
        try:
            yield
        finally:
            self.front.draining = True
            for task in self._tasks:
                task.cancel()
            await asyncio.to_thread(self._follower.stop, 2.0)
            if self._log is not None:
                await asyncio.to_thread(self._log.stop, 3.0)
            if self._tracing is not None:
                await asyncio.to_thread(self._tracing.stop)

    async def _first_look(self) -> None:
        """Ready when the registry was read once and what it names is loaded; a huge model is not waited for.

        One of many waits for it, and for a registry that is away: what it has not, the others have.
        """
        loop = asyncio.get_running_loop()
        late = loop.time() + (inf if self._config.one_of_many else _READY_SECONDS)
        while not self._follower.first.is_set() and loop.time() < late:
            await asyncio.sleep(0.02)
        error = self._follower.status()["registry"]["error"]
        while self._config.one_of_many and error is not None and not any(self._dispatch.entries()):
            await asyncio.sleep(_TICK_SECONDS)
            looked = await asyncio.to_thread(self._follower.poll_now, None, _RELOAD_SECONDS)
            error = looked.registry["error"] if looked.registry["reachable"] is not None else "no answer yet"
        self._dispatch.started = True

    async def _look_for(self, name: str) -> None:
        await asyncio.to_thread(self._follower.poll_now, {name}, self._config.timeout)

    async def _tick(self) -> None:
        while True:
            for entry in self._dispatch.entries():
                meter = self._after.meter(entry.version.name, str(entry.version.version))
                meter.levels(entry.in_flight, self._dispatch.lane(entry).waiting)
            snapshot = self._catalog.snapshot
            metrics.show_served(
                (name, str(entry.version.version), alias, entry.servable.description.predictor)
                for (name, alias), entry in snapshot.by_alias.items()
            )
            await asyncio.sleep(_TICK_SECONDS)

    def _on_loop(self, work: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(work)

    def _keep(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- models

    def _load(self, path: Path, registered: RegisteredVersion) -> Lane:
        """Called in the follower's thread."""
        from homeport.serving.follow.isolation import load

        threads = self._config.concurrency
        servable = load(path, registered, environments=self._config.environments, threads=threads)
        return Lane(servable, concurrency=threads, queue=self._config.queue)

    def reloaded(self, name: str, version: str, seconds: float) -> None:
        """The follower brought a version into service; the other workers need not wait for their next look."""
        if self._dispatch.started:
            self._on_loop(lambda: self._keep(self._siblings.ask_all("reload", {"names": [name]}, _RELOAD_SECONDS)))
        metrics.RELOADS.labels(name).inc()
        metrics.LOAD_SECONDS.labels(name).observe(seconds)
        if self._index == 0:
            sys.stdout.write(f"serving {name} version {version} (ready in {seconds:.2f} s)\n")
            sys.stdout.flush()

    def failed(self, name: str, version: str, error: str) -> None:
        """The follower could not bring a version into service."""
        metrics.FAILURES.labels(name).inc()
        if self._index == 0:
            sys.stderr.write(f"not serving {name} version {version}: {error}\n")

    def registry(self, reachable: bool) -> None:
        """The registry answered, or did not."""
        metrics.REGISTRY.set(1 if reachable else 0)

    # -- what workers ask each other

    async def _reload(self, arguments: dict[str, Any]) -> dict[str, Any]:
        names = arguments["names"]
        result = await asyncio.to_thread(self._follower.poll_now, set(names) if names else None, _RELOAD_SECONDS)
        return {"ok": result.ok, "changes": result.changes, "failures": result.failures, "registry": result.registry}

    async def _load_name(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return await self._change(self._follower.load, arguments["name"])

    async def _unload_name(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return await self._change(self._follower.unload, arguments["name"])

    async def _change(self, change: Callable[[str], PollResult], name: str) -> dict[str, Any]:
        known = any(row["name"] == name for row in self._follower.status()["models"])
        if not known and not any(reference.covers(name) for reference in self._config.references):
            return {"ok": False, "status": 404, "error": "that model is not among those to be served (HOMEPORT_SERVE)"}
        result = await asyncio.to_thread(change, name)
        errors = "; ".join(failure["error"] for failure in result.failures)
        if result.ok and not any(row["name"] == name for row in self._follower.status()["models"]):
            return {"ok": False, "status": 404, "error": "the registry has no such model, or none with that alias"}
        return {"ok": result.ok, "error": errors}

    async def _served(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        served = {}
        for entry in self._dispatch.entries():
            meter = self._after.meter(entry.version.name, str(entry.version.version))
            served[f"{entry.version.name}/{entry.version.version}"] = {
                "answered": meter.answered, "failed": meter.failed, "in_flight": entry.in_flight,
                "buckets": meter.buckets,
            }  # fmt: skip
        return {"ok": True, "served": served}

    # -- the API's board

    def status(self) -> dict[str, Any]:
        """What is served and how well."""
        return {
            "service": "homeport-serving",
            "version": version("homeport"),
            "ready": self._dispatch.started and not self.front.draining,
            "workers": self._config.workers,
            **self._follower.status(),
            "traffic": [
                {"name": rule.name, "weights": dict(rule.weights), "shadow": rule.shadow}
                for rule in self._config.rules.values()
            ],
        }

    async def load(self) -> dict[str, dict[str, Any]]:
        """How much each version is asked, in all workers together: see `metrics.together`."""
        return metrics.together(await self.everywhere("served", {}, _LOAD_SECONDS))

    def descriptions(self) -> list[Description]:
        """Every loaded version, the one that answers by default first among those of its name."""
        default = set(self._catalog.snapshot.default.values())
        entries = sorted(self._dispatch.entries(), key=lambda entry: entry not in default)
        return [entry.servable.description for entry in entries]

    def find(self, name: str, version: str | None) -> Description | None:
        """One loaded version, the default one without `version`."""
        try:
            return self._dispatch.find(Route(Dialect.OIP, name, version)).servable.description
        except Refusal:
            return None

    async def everywhere(self, what: str, arguments: dict[str, Any], seconds: float) -> list[dict[str, Any]]:
        """Ask every worker."""
        return await self._siblings.ask_all(what, arguments, seconds)

    def nudge(self, headers: Mapping[str, str], body: bytes) -> list[str]:
        """Check a webhook, and poll for what it names in every worker; the sender need not wait for that."""
        import time

        if self._webhook is None:
            raise Refusal(403, "PERMISSION_DENIED", "webhooks are off: HOMEPORT_WEBHOOK_SECRET is not set")
        names = sorted(self._webhook.check(headers, body, time.time()).names)
        if names:
            self._keep(self._siblings.ask_all("reload", {"names": names}, _RELOAD_SECONDS))
        return names

    def metrics(self) -> tuple[bytes, str]:
        """The metrics page of all workers."""
        return metrics.page()


def _prediction_log(config: ServingConfig, index: int) -> PredictionLog | None:
    if not config.log_on:
        return None
    from homeport.serving.feedback.log import PredictionLog

    return PredictionLog(
        config.prediction_uri,
        sample=config.prediction_log,
        keep_days=config.prediction_days if index == 0 else None,
        on_dropped=metrics.DROPPED.inc,
        on_failed=lambda kind: metrics.LOG_FAILURES.labels(kind).inc(),
    )
