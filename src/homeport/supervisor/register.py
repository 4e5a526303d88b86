"""The supervisor's end of the warden: who runs is told to it before it runs.

Holds the only write end of the warden's pipe. If the warden itself is killed, another one is started and told
everything again. Knows nothing of services, only of process groups.
"""

from __future__ import annotations

import asyncio
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
from homeport.supervisor.ending import watch
from homeport.supervisor.environment import MARKER
from homeport.supervisor.files import disk_error
from homeport.supervisor.layout import Home
from homeport.supervisor.lock import taken

_PROGRAM = Path(__file__).with_name("warden.py")
_PATIENCE = 2.0
_TRIES = 50


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
    def pids(self) -> set[int]:
        """The children that this register knows: leaders of groups, and the warden."""
        return set(self._entries) | ({self._warden.pid} if self._warden else set())

    def open(self) -> None:
        """Start the warden.

        Raises:
            HomeportError: WARDEN_NOT_STARTED, DISK_FULL or HOME_NOT_WRITABLE.
        """
        lock = _locked(self._home)
        read, write = os.pipe()
        # The warden ignores these, and until it has come so far they wait: a blocked signal is inherited.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
        try:
            self._warden = subprocess.Popen(
                (sys.executable, "-I", "-S", str(_PROGRAM), str(read), marker(self._home), str(self._home.socket)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(read, lock),
                start_new_session=True,
                cwd="/",
                env={"PATH": os.defpath},
            )
        except OSError as error:
            os.close(write)
            raise _not_started(error) from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(read)
            os.close(lock)
        self._pipe = write
        watch(self._warden.pid, asyncio.get_running_loop(), self._revive)

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

    def _revive(self) -> None:
        """The warden has ended. If that is not by our leave, start another one and tell it everything."""
        if self._warden is None or self._warden.poll() is None:
            return
        os.close(self._pipe)
        self.open()
        for entry in self.entries:
            self._tell(entry.line())

    def _tell(self, line: bytes) -> None:
        # A warden that was just killed is noticed in a moment (_revive), and the next one is told everything.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._pipe, line)


def _locked(home: Home) -> int:
    """The warden's lock, taken now and inherited by it: there is no moment at which nobody holds it."""
    try:
        lock = os.open(home.warden_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise disk_error(error, "the warden's lock could not be made") from error
    taken(lock, tries=_TRIES)
    return lock


def _not_started(error: OSError) -> HomeportError:
    return HomeportError(
        code="WARDEN_NOT_STARTED",
        what="the process that cleans up after a crash could not be started",
        evidence=(("system", str(error)),),
        fix="free some memory or process slots (ulimit -u), then try again",
    )


def marker(home: Home) -> str:
    """What the environment of every process of this home has an entry beginning with."""
    return f"{MARKER}={home.reasons}{os.sep}"


def entry(name: str, pid: int, stop_signal: str, timeout: float) -> Entry:
    """The entry of a group whose leader was just started."""
    return Entry(name, pid, identity.started(pid) or "", getattr(signal, stop_signal), timeout)
