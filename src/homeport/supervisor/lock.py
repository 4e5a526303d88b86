"""One owner a home: a lock the system releases when its holder dies, however it dies. The file says who holds it."""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path

from homeport.errors import HomeportError
from homeport.supervisor.files import disk_error
from homeport.supervisor.layout import Home

_TRIES, _PAUSE = 20, 0.01
"""Somebody who only asks whether the lock is held holds it for microseconds; that is no owner."""


class Lock:
    """The lock of one home; held from `acquire` to `release` or to the end of the process."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._handle = -1

    def acquire(self) -> None:
        """Take the lock and write this process's id into it.

        Raises:
            HomeportError: HOME_IN_USE, DISK_FULL or HOME_NOT_WRITABLE.
        """
        path = self._home.lock
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if not taken(self._handle, tries=_TRIES):
                raise in_use(self._home)
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, json.dumps({"pid": os.getpid()}).encode(), 0)
        except OSError as error:
            self.release()
            raise disk_error(error, f"{self._home.root} could not be locked") from error
        except HomeportError:
            os.close(self._handle)
            self._handle = -1
            raise

    def release(self) -> None:
        """Empty the file and give the lock back. The file stays: removing it would let two owners in."""
        if self._handle >= 0:
            os.ftruncate(self._handle, 0)
            os.close(self._handle)
            self._handle = -1


def taken(handle: int, *, tries: int = 1, kind: int = fcntl.LOCK_EX) -> bool:
    """Take a lock without waiting for its owner; whether that worked."""
    for attempt in range(tries):
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if attempt + 1 < tries:
                time.sleep(_PAUSE)
        else:
            return True
    return False


def held(path: Path) -> bool:
    """Whether somebody holds the lock on this file now."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not taken(handle, kind=fcntl.LOCK_SH)
    finally:
        os.close(handle)


def holder(home: Home) -> int | None:
    """The process that wrote itself into the lock; meaningful only while the lock is held."""
    try:
        found = json.loads(home.lock.read_bytes())
    except (OSError, ValueError):
        return None
    pid = found.get("pid") if isinstance(found, dict) else None
    return pid if isinstance(pid, int) else None


def in_use(home: Home) -> HomeportError:
    """The refusal to run twice in one home."""
    pid = holder(home)
    return HomeportError(
        code="HOME_IN_USE",
        what=f"Homeport already runs in {home.root}",
        evidence=(("owner", f"pid {pid}"),) if pid else (),
        why="a home has one owner, or two databases would write the same files",
        fix="use the running one (homeport status), stop it (homeport down), or choose another HOMEPORT_HOME",
    )
