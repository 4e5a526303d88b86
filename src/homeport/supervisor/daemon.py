"""Owns one home for as long as it lives: the lock, the control socket, the engine, and the order in which they go.

Started by `detach.start`, spoken to through `client.Client`. Refuses to know what it runs: the graph is handed in.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Mapping

from homeport.errors import ExitCode, HomeportError
from homeport.model.graph import Graph
from homeport.supervisor import ledger
from homeport.supervisor.adoption import Adoption
from homeport.supervisor.control import Control, Hub
from homeport.supervisor.engine import Engine
from homeport.supervisor.events import Event, Failed, Restarted, Stopped, Stopping, iso
from homeport.supervisor.files import disk_error, write_json
from homeport.supervisor.layout import Home
from homeport.supervisor.local import LocalTarget
from homeport.supervisor.lock import Lock
from homeport.supervisor.recovery import recover
from homeport.supervisor.register import Register

_HEARING = 2.0


def _nobody(_: Event) -> None:
    """Nobody listens."""


class Daemon:
    """One home's supervisor process.

    Args:
        graph: what to run.
        target: what its values are here.
        home: what it owns.
        emit: hears of every event, in order.
        urls: service name -> address to show in `status`; asked once every port is chosen.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        graph: Graph,
        target: LocalTarget,
        home: Home,
        emit: Callable[[Event], None] = _nobody,
        *,
        urls: Mapping[str, str] | Callable[[], Mapping[str, str]] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.graph, self.target, self.home = graph, target, home
        self.hub = Hub()
        self._listener, self._clock = emit, clock
        self._ask_urls = urls if callable(urls) else lambda: urls or {}
        self._urls: Mapping[str, str] = {}
        self._since = clock()
        self._engine: Engine | None = None
        self._asked = asyncio.Event()
        self._asked_at = 0.0
        self._reason = ""

    def serve(self, *, timeout: float | None = None, owner_fd: int | None = None, report_fd: int | None = None) -> int:
        """Run until somebody asks for the end; the process's exit code.

        Args:
            timeout: seconds for the whole start; None: each part has its own.
            owner_fd: a pipe; its end of file means that the foreground client is gone, and asks for the end.
            report_fd: a pipe; gets one line of JSON once requests are answered, or why that will never be.
        """
        lock = Lock(self.home)
        try:
            self.home.create()
            lock.acquire()
            self._prepare()
            return asyncio.run(self._serve(timeout, owner_fd, report_fd))
        except (HomeportError, OSError) as refusal:
            error = refusal if isinstance(refusal, HomeportError) else disk_error(refusal, "Homeport cannot run here")
            if error.code != "HOME_IN_USE":  # The failure file is the owner's.
                self._keep_failure(error)
            report(report_fd, Failed(self._clock(), error).as_dict())
            return int(error.exit_code)
        finally:
            lock.release()

    def _prepare(self) -> None:
        """What must be in order before anything starts: no rest of a dead supervisor, secrets legible, ports free."""
        self.home.failure.unlink(missing_ok=True)
        recovered = recover(self.home, clock=self._clock)
        if recovered:
            self._emit(recovered)
        self.target.check_secrets()
        self.target.check_ports()
        self._urls = dict(self._ask_urls())

    async def _serve(self, timeout: float | None, owner_fd: int | None, report_fd: int | None) -> int:
        register = Register(self.home)
        async with contextlib.AsyncExitStack() as last:
            register.open()
            last.callback(register.close)  # At the very end: until then the warden would clean up after us.
            control = Control(self.home, self)
            try:
                await control.open()
            except OSError as error:
                raise disk_error(error, f"{self.home.socket} could not be opened") from error
            last.push_async_callback(control.close)
            adoption = Adoption(lambda: register.pids)
            adoption.begin()
            engine = self._engine = Engine(
                self.graph, self.target, self.home, emit=self._emit, clock=self._clock, register=register
            )
            last.push_async_callback(self._wind_down, engine, adoption)
            self._listen_to_signals(owner_fd)
            report(report_fd, {"event": "listening", "at": iso(self._clock()), "pid": os.getpid()})
            return await self._live(engine, timeout)

    async def _until_heard(self) -> None:
        """A start may fail before whoever asked for it has connected, and a full disk keeps no failure file."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_HEARING):
                await self.hub.heard.wait()

    async def _wind_down(self, engine: Engine, adoption: Adoption) -> None:
        await engine.down()
        await adoption.end()
        with contextlib.suppress(OSError):
            ledger.clear(self.home)
        self._emit(Stopped(self._clock(), self._clock() - self._asked_at if self._asked.is_set() else 0.0))

    async def _live(self, engine: Engine, timeout: float | None) -> int:
        """Start, stay, stop."""
        starting = asyncio.create_task(engine.up(timeout))
        asked = asyncio.create_task(self._asked.wait())
        await asyncio.wait({starting, asked}, return_when=asyncio.FIRST_COMPLETED)
        code = int(ExitCode.OK)
        if not self._asked.is_set():
            try:
                starting.result()
            except HomeportError as error:
                asked.cancel()
                self._keep_failure(error)
                self._emit(Failed(self._clock(), error))
                await self._until_heard()
                return int(ExitCode.FAILED)
            await asked
        self._emit(Stopping(self._clock(), self._reason))
        await engine.down()
        with contextlib.suppress(HomeportError):
            await starting
        return code

    # What the control socket asks; see control.Owner.

    def status(self) -> dict[str, object]:
        """How everything stands."""
        engine = self._running()
        return {
            "ready": engine.ready and not self._asked.is_set(),
            "stopping": engine.stopping,
            "pid": os.getpid(),
            "since": iso(self._since),
            "services": [row.as_dict(self._urls) for row in engine.snapshot()],
        }

    async def wait_for(self, service: str | None, timeout: float | None) -> None:
        """Wait until a service, or everything, is ready.

        Raises:
            HomeportError: NOT_READY after `timeout` seconds or when it never will be, SERVICE_UNKNOWN.
        """
        await self._running().wait_for(service, timeout)

    async def restart(self, service: str) -> Restarted:
        """Restart one service."""
        return await self._running().restart(service)

    def stop(self, reason: str, *, kill: bool = False) -> None:
        """Ask for the end; asked again with `kill`, nothing is waited for any longer."""
        if not self._asked.is_set():
            self._reason = reason
            self._asked_at = self._clock()
            self._asked.set()
        if kill:
            self._running().kill_now.set()

    def _running(self) -> Engine:
        assert self._engine is not None
        return self._engine

    def _listen_to_signals(self, owner_fd: int | None) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)
        loop.add_signal_handler(signal.SIGHUP, lambda: None)  # The terminal is gone; the daemon stays.
        if owner_fd is not None:
            os.set_blocking(owner_fd, False)
            loop.add_reader(owner_fd, self._owner_speaks, owner_fd)

    def _signalled(self, number: signal.Signals) -> None:
        self.stop(f"{number.name} received", kill=self._asked.is_set())

    def _owner_speaks(self, owner_fd: int) -> None:
        with contextlib.suppress(BlockingIOError):
            if os.read(owner_fd, 1024):
                return
            asyncio.get_running_loop().remove_reader(owner_fd)
            self.stop("the command that started it is gone")

    def _emit(self, event: Event) -> None:
        self.hub.tell(event)
        self._listener(event)

    def _keep_failure(self, error: HomeportError) -> None:
        """For a client that lost the socket. A full disk may be the failure itself, so this may fail silently."""
        with contextlib.suppress(OSError):
            write_json(self.home.failure, {"at": iso(self._clock()), "error": error.as_dict()})


def report(descriptor: int | None, row: dict[str, object]) -> None:
    """Write the one line that whoever started the daemon waits for, and close the pipe."""
    if descriptor is None:
        return
    with contextlib.suppress(OSError):
        os.write(descriptor, json.dumps(row).encode() + b"\n")
    with contextlib.suppress(OSError):
        os.close(descriptor)
