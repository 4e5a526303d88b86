"""Runs a graph: everything at once that may run at once, in order where there is one, and all of it down again.

Hands each unit what it needs of the world and hears of each change. Refuses to know who asked (that is the daemon) and
what the services are for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from homeport.errors import HomeportError
from homeport.model.graph import Graph, Node
from homeport.model.service import Service
from homeport.supervisor import process
from homeport.supervisor.environment import MARKER, command, environment
from homeport.supervisor.events import Event, Restarted
from homeport.supervisor.failures import STOPPED, Witness, interrupted, not_ready, stopping, too_slow, unknown
from homeport.supervisor.journal import Journal
from homeport.supervisor.layout import Home
from homeport.supervisor.local import LocalTarget
from homeport.supervisor.logfile import LogFile
from homeport.supervisor.probes import Answer, Ask, LocalProbes
from homeport.supervisor.process import Launch, Process, Spawn
from homeport.supervisor.register import Register, Registry, entry
from homeport.supervisor.state import FINAL
from homeport.supervisor.status import ServiceStatus
from homeport.supervisor.unit import Unit


class Engine:
    """One graph, running.

    Args:
        graph: what to run.
        target: what its values are here.
        home: where logs and state go; its directories exist.
        emit: hears of every event, in order.
        clock: seconds since the epoch; durations and pauses are the event loop's.
        spawn: starts a process.
        probe: asks a service; None: over the network and by processes.
        register: is told of every process; open, and closed by whoever made it. None: one of its own.
        caller: the environment of whoever started Homeport.
        chance: from 0 to 1, spreads restarts.
    """

    def __init__(
        self,
        graph: Graph,
        target: LocalTarget,
        home: Home,
        *,
        emit: Callable[[Event], None],
        clock: Callable[[], float] = time.time,
        spawn: Spawn = process.spawn,
        probe: Ask | None = None,
        register: Registry | None = None,
        caller: Mapping[str, str] | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.graph, self.target, self.home = graph, target, home
        self.kill_now = asyncio.Event()
        self.register = register or Register(home)
        self._own_register = register is None
        self._clock, self._spawn, self._chance = clock, spawn, chance
        self._caller = dict(os.environ if caller is None else caller)
        self._ask = probe or LocalProbes(
            target, home, self._caller, spawn=spawn, register=self._registered_probe, forget=self.register.remove
        )
        self._logs = {node.name: LogFile(home.log(node.name), clock=clock) for node in graph}
        self._units = {node.name: Unit(node, self) for node in graph}
        self._failed: list[Unit] = []
        self._journal = Journal(home, emit=emit, clock=clock, register=self.register, snapshot=self.snapshot)
        self._bell = asyncio.Event()
        self._stop: asyncio.Task[None] | None = None
        self._restarts: dict[str, asyncio.Task[Restarted]] = {}

    @property
    def stopping(self) -> bool:
        """Whether it is going down or is down."""
        return self._stop is not None

    @property
    def ready(self) -> bool:
        """Whether every job is completed and every service healthy (or running, if it has no probe)."""
        return all(row.ready for row in self.snapshot())

    def snapshot(self) -> list[ServiceStatus]:
        """How everything stands, in the order of the graph."""
        return [unit.status for unit in self._units.values()]

    async def up(self, timeout: float | None = None) -> None:
        """Start everything; returns when it is ready.

        Args:
            timeout: seconds for all of it together; None: each part has its own.

        Raises:
            HomeportError: what failed first, after everything that was started is stopped again.
        """
        try:
            self._journal.begin()
            if self._own_register:
                self.register.open()
            for unit in self._units.values():
                self.changed(unit)  # Whoever listens knows from the start what there will be.
            for unit in self._units.values():
                unit.begin()
            error = await self._outcome(timeout)
        except BaseException:
            await self.down()
            raise
        if error is not None:
            await self.down()
            raise replace(error, aside=STOPPED)
        self._journal.ready()

    async def down(self, kill_now: asyncio.Event | None = None) -> None:
        """Stop everything, whoever needs a service before the service. Returns when nothing is left.

        Args:
            kill_now: once set, nothing is asked to stop any longer but killed; None: the engine's own.
        """
        if self._stop is None:
            self._stop = asyncio.create_task(self._stop_all(kill_now or self.kill_now))
            self._ring()
        await asyncio.shield(self._stop)

    async def restart(self, name: str) -> Restarted:
        """Stop one service and start it again; returns when it is ready.

        Raises:
            HomeportError: SERVICE_UNKNOWN, STOPPING, or why it did not come back. It goes on trying as its policy says.
        """
        if name not in self._units:
            raise unknown(name, self.graph)
        running = self._restarts.get(name)
        if running is None or running.done():
            running = self._restarts[name] = asyncio.create_task(self._restart(name))
        # Whoever asked may go away, or ask twice: it is restarted once, and whole.
        return await asyncio.shield(running)

    async def _restart(self, name: str) -> Restarted:
        unit, loop = self._units[name], asyncio.get_running_loop()
        began = loop.time()
        await unit.end(self.kill_now)
        if self.stopping:
            raise stopping(name)
        unit.begin()
        patience = unit.probe.start_timeout if unit.probe else None
        try:
            async with asyncio.timeout(patience):
                await self.until(lambda: self.stopping or unit.status.ready or unit.state in FINAL)
        except TimeoutError:
            raise self.witness(unit).unhealthy(patience or 0.0).error from None
        if self.stopping:
            raise stopping(name)
        if not unit.status.ready:
            raise unit.failure.error if unit.failure else stopping(name)
        return self._journal.restarted(name, loop.time() - began)

    async def wait_for(self, service: str | None, timeout: float | None) -> None:
        """Wait until a service, or everything, is ready.

        Raises:
            HomeportError: SERVICE_UNKNOWN; NOT_READY after `timeout` seconds, or as soon as it never will be.
        """
        if service is not None and service not in self.graph:
            raise unknown(service, self.graph)
        units = [self._units[service]] if service else list(self._units.values())

        def late() -> list[ServiceStatus]:
            return [unit.status for unit in units if not unit.status.ready]

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self.until(lambda: self.stopping or not late() or any(row.state in FINAL for row in late()))
        if self.stopping or late():
            raise not_ready(late())

    async def until(self, check: Callable[[], bool]) -> None:
        """Wait until the check holds; it is asked again after each change."""
        while not check():
            await self._bell.wait()

    # What units need; see unit.Works.

    def unit(self, name: str) -> Unit:
        """The unit of a node."""
        return self._units[name]

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._clock()

    def chance(self) -> float:
        """From 0 to 1."""
        return self._chance()

    def witness(self, unit: Unit) -> Witness:
        """What is known of a unit from outside."""
        return Witness(unit.node, self.home, tuple(self._logs[unit.node.name].recent), unit.last_probe)

    async def ask(self, service: Service) -> Answer:
        """Ask a service whether it is healthy."""
        return await self._ask(service)

    async def start(self, unit: Unit) -> Process:
        """Start a unit's process.

        Raises:
            NotStartedError: the system refused.
            HomeportError: a value cannot be resolved, or the disk is full.
        """
        node = unit.node
        reason = self.home.reason(node.name)
        reason.unlink(missing_ok=True)
        self._logs[node.name].recent.clear()
        self._emptied(node.name).mkdir(parents=True, exist_ok=True, mode=0o700)
        launch = Launch(
            argv=command(node, self.target),
            env=environment(node, self.target, self.home, self._caller),
            cwd=self.home.root,
            output=self._logs[node.name].feed,
            register=lambda pid: self._registered(node, pid),
            forget=lambda pid: self._forgotten(node, pid),
            marker=f"{MARKER}={reason}",
        )
        return await self._spawn(launch)

    def changed(self, unit: Unit) -> None:
        """A unit is in another state: tell, write down, block whoever waits for it in vain."""
        self._journal.changed(unit)
        if unit.failure and unit.state in FINAL:
            self._failed.append(unit)
            for name in self.graph.dependents(unit.node.name):
                self._units[name].block(unit)
        self._ring()

    async def _outcome(self, timeout: float | None) -> HomeportError | None:
        """Wait for the start to be decided; None when everything is ready."""
        try:
            async with asyncio.timeout(timeout):
                await self.until(lambda: self.ready or bool(self._failed) or self.stopping)
        except TimeoutError:
            return too_slow(timeout or 0.0, [row for row in self.snapshot() if not row.ready])
        if self._failed and self._failed[0].failure:
            return self._failed[0].failure.error
        return interrupted() if self.stopping else None

    async def _stop_all(self, kill_now: asyncio.Event) -> None:
        done = {name: asyncio.Event() for name in self._units}

        async def stop(unit: Unit) -> None:
            for name in self.graph.dependents(unit.node.name):
                await done[name].wait()
            try:
                await unit.end(kill_now)
            finally:
                done[unit.node.name].set()

        try:
            await asyncio.gather(*(stop(unit) for unit in self._units.values()))
        finally:
            for name, log in self._logs.items():
                log.end()
                self._emptied(name)
            if self._own_register:
                self.register.close()

    def _emptied(self, name: str) -> Path:
        scratch = self.home.scratch(name)
        shutil.rmtree(scratch, ignore_errors=True)
        return scratch

    def _registered(self, node: Node, pid: int) -> None:
        self.register.add(entry(node.name, pid, node.stop_signal, node.stop_timeout))
        self._journal.record()

    def _forgotten(self, node: Node, pid: int) -> None:
        self._logs[node.name].end()
        self.register.remove(pid)

    def _registered_probe(self, pid: int) -> None:
        self.register.add(entry("", pid, "SIGKILL", 0.0))

    def _ring(self) -> None:
        """Wake whoever waits for a change."""
        self._bell.set()
        self._bell = asyncio.Event()
