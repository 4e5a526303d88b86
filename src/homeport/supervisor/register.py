"""The supervisor's end of the warden: who runs is told to it before it runs.

Holds the only write end of the warden's pipe. If the warden itself is killed, another one is started and told
everything again. Knows nothing of services, only of process groups.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from homeport.errors import HomeportError
from homeport.supervisor import identity
from homeport.supervisor.environment import MARKER
from homeport.supervisor.layout import Home

_PROGRAM = Path(__file__).with_name("warden.py")
_PATIENCE = 2.0


@dataclass(frozen=True)
class Entry:
    """One process group: its leader's id and start time, and how it is asked to stop."""

    name: str
    pgid: int
    started: str
    signal: int
    timeout: float

    def line(self) -> bytes:
        """What the warden reads."""
        return f"add {self.pgid} {self.signal} {self.timeout} {self.started}\n".encode()


class Registry(Protocol):
    """Whom the engine tells of a process before it runs: `Register`, but in tests."""

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Everything registered, oldest first."""

    def open(self) -> None:
        """Begin."""

    def add(self, entry: Entry) -> None:
        """A process is about to run."""

    def remove(self, pgid: int) -> None:
        """A process and its group are gone."""

    def close(self) -> None:
        """Everything is stopped."""


class Register:
    """Process groups that the warden stops if this process dies. Use `open` before `add`, `close` at the end."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._entries: dict[int, Entry] = {}
        self._warden: subprocess.Popen[bytes] | None = None
        self._pipe = -1

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Everything registered, oldest first."""
        return tuple(self._entries.values())

    @property
    def warden(self) -> int | None:
        """The warden's process id."""
        return self._warden.pid if self._warden else None

    def open(self) -> None:
        """Start the warden.

        Raises:
            HomeportError: WARDEN_NOT_STARTED.
        """
        read, write = os.pipe()
        home = self._home
        argv = (
            sys.executable,
            "-I",
            "-S",
            str(_PROGRAM),
            str(read),
            str(home.warden_lock),
            marker(home),
            str(home.socket),
        )
        try:
            self._warden = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(read,),
                start_new_session=True,
                cwd="/",
                env={"PATH": os.defpath},
            )
        except OSError as error:
            os.close(write)
            raise HomeportError(
                code="WARDEN_NOT_STARTED",
                what="the process that cleans up after a crash could not be started",
                evidence=(("system", str(error)),),
                fix="free some memory or process slots (ulimit -u), then try again",
            ) from error
        finally:
            os.close(read)
        self._pipe = write

    def add(self, entry: Entry) -> None:
        """Tell the warden, before the process may run."""
        self._entries[entry.pgid] = entry
        self._tell(entry.line())

    def remove(self, pgid: int) -> None:
        """Forget a group that is gone, before its leader is reaped and its id is free again."""
        if self._entries.pop(pgid, None):
            self._tell(f"remove {pgid}\n".encode())

    def close(self) -> None:
        """Everything is stopped: the warden may go. Waits for it."""
        if self._warden is None:
            return
        with contextlib.suppress(OSError):
            os.write(self._pipe, b"done\n")
        os.close(self._pipe)
        self._pipe = -1
        try:
            self._warden.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._warden.kill()
            self._warden.wait()
        self._warden = None

    def revive(self) -> bool:
        """Start another warden if this one is gone, and tell it everything; returns whether that was so."""
        if self._warden is None or self._warden.poll() is None:
            return False
        os.close(self._pipe)
        self.open()
        for entry in self.entries:
            self._tell(entry.line())
        return True

    def _tell(self, line: bytes) -> None:
        try:
            os.write(self._pipe, line)
        except BrokenPipeError:
            self._reap()
            self.revive()

    def _reap(self) -> None:
        """A broken pipe means the warden is going: wait the moment until it can be told from a living one."""
        if self._warden is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._warden.wait(_PATIENCE)


def marker(home: Home) -> str:
    """What the environment of every process of this home has an entry beginning with."""
    return f"{MARKER}={home.reasons}{os.sep}"


def entry(name: str, pid: int, stop_signal: str, timeout: float) -> Entry:
    """The entry of a group whose leader was just started."""
    return Entry(name, pid, identity.started(pid) or "", getattr(signal, stop_signal), timeout)
