"""Starts one child process so that it cannot be left behind, and knows when it has ended.

The child is a new session. A shim (launch.py) stands in for the program until the child is registered, so a supervisor
that is killed at any moment leaves either nothing or something its warden knows. Knows nothing of services.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from homeport.supervisor import identity
from homeport.supervisor.ending import watch

_SHIM = Path(__file__).with_name("launch.py")
_CHUNK = 64 * 1024
_LAST_OUTPUT = 256
"""Chunks read at most after the end of a process: an escaped descendant may go on writing for ever."""

_ESCAPED_TRIES = 50
_ESCAPED_PAUSE = 0.004


def _nothing(_: int) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True)
class Launch:
    """What to start and whom to tell.

    Args:
        argv: program and arguments.
        env: the whole environment.
        cwd: working directory.
        output: gets what the child writes to stdout and stderr, as it comes.
        register: told the process id before the program may run.
        forget: told the process id once the whole group is gone, before the id is free again.
        marker: an entry of `env` that no other process has; descendants that left the group are killed by it.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    output: Callable[[bytes], None]
    register: Callable[[int], None] = field(default=_nothing)
    forget: Callable[[int], None] = field(default=_nothing)
    marker: str = ""


class Process(Protocol):
    """A child process, and the group it leads."""

    @property
    def pid(self) -> int:
        """Of the child, which leads the group."""

    @property
    def ended(self) -> bool:
        """Whether it is gone, with its group."""

    async def wait(self) -> int:
        """The exit code, or minus the signal that ended it. Cancelling the wait does not touch the process."""

    def signal(self, number: int) -> None:
        """Send a signal to the leader of the group."""

    def kill(self) -> None:
        """Kill the whole group."""


Spawn = Callable[[Launch], Awaitable[Process]]


class NotStartedError(Exception):
    """The program could not be started: `reason` is the system's, `program` what was asked for."""

    def __init__(self, program: str, reason: str) -> None:
        super().__init__(f"{program}: {reason}")
        self.program, self.reason = program, reason


async def spawn(launch: Launch) -> Process:
    """Start a program in a session of its own; returns once it has been executed.

    Raises:
        NotStartedError: the system refused, or there is no such program. Nothing is left running.
    """
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with contextlib.closing(ours):
        try:
            process = _start(launch, theirs.fileno())
        finally:
            theirs.close()
        try:
            launch.register(process.pid)
            with contextlib.suppress(OSError):  # The shim may have been killed meanwhile: its end is seen below.
                ours.send(b"!")
            answer = await asyncio.get_running_loop().sock_recv(ours, 16)
        except ConnectionError:
            answer = b""
        except BaseException:
            process.kill()
            await process.wait()
            raise
    if answer:
        await process.wait()
        raise NotStartedError(launch.argv[0], os.strerror(int(answer)))
    return process


def _start(launch: Launch, barrier: int) -> LocalProcess:
    read, write = os.pipe()
    argv = (sys.executable, "-I", "-S", str(_SHIM), str(barrier), *launch.argv)
    try:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=write,
            stderr=write,
            pass_fds=(barrier,),
            start_new_session=True,
            cwd=launch.cwd,
            env=launch.env,
        )
    except OSError as error:
        os.close(read)
        raise NotStartedError(launch.argv[0], error.strerror or str(error)) from error
    finally:
        os.close(write)
    return LocalProcess(child, read, launch)


class LocalProcess:
    """A running child. Its end is handled in one step, whoever waits: stragglers killed, output read, id given back."""

    def __init__(self, child: subprocess.Popen[bytes], output: int, launch: Launch) -> None:
        self._child, self._output, self._launch = child, output, launch
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[int] = self._loop.create_future()
        os.set_blocking(output, False)
        self._loop.add_reader(output, self._read)
        watch(child.pid, self._loop, self._finish)

    @property
    def pid(self) -> int:
        """Of the child, which leads the group."""
        return self._child.pid

    @property
    def ended(self) -> bool:
        """Whether it is gone, with its group."""
        return self._over.done()

    async def wait(self) -> int:
        """The exit code, or minus the signal that ended it. Cancelling the wait does not touch the process."""
        return await asyncio.shield(self._over)

    def signal(self, number: int) -> None:
        """Send a signal to the leader of the group."""
        if not self.ended:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the whole group."""
        if not self.ended:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def _read(self) -> bool:
        """Hand on what the child has written; False when there is nothing (more) to read now."""
        try:
            chunk = os.read(self._output, _CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            chunk = b""
        if chunk:
            self._launch.output(chunk)
        else:
            self._loop.remove_reader(self._output)
        return bool(chunk)

    def _finish(self) -> None:
        """The leader has ended and is not reaped yet, so that nobody else can have its id while its group is killed."""
        if self._over.done():
            return
        try:
            self.kill()
            if self._launch.marker:
                _kill_escaped(self._launch.marker)
            for _ in range(_LAST_OUTPUT):
                if not self._read():
                    break
            self._loop.remove_reader(self._output)
            os.close(self._output)
            self._launch.forget(self.pid)
        finally:
            self._over.set_result(self._child.wait())


def _kill_escaped(marker: str) -> None:
    """Kill descendants that left the group, and give them the few milliseconds it takes them to be gone."""
    for attempt in range(_ESCAPED_TRIES):
        escaped = identity.marked(marker, exact=True)
        if not escaped:
            return
        for pid in escaped if attempt == 0 else ():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(
            _ESCAPED_PAUSE
        )  # Not awaited: whoever comes next must find them gone. 0.2 s at most, after a crash only.
