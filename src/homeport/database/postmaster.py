"""Whether a PostgreSQL already serves a directory, and what a machine kill left behind of one that did.

Two signs: a lock held by the server and all its children for as long as one of them lives, and PostgreSQL's own
postmaster.pid. PostgreSQL removes a stale one itself unless its process id belongs to another process of the same user
by now (CreateLockFile, src/backend/utils/init/miscinit.c). Refuses to know how a server is started.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from homeport.errors import HomeportError

_ORPHANS_END_WITHIN = 15.0  # seconds; sessions of a killed server notice at their next wait
_PAUSE = 0.02
_CLOCK_SLACK = 5.0  # seconds between a process's start and the start PostgreSQL notes down
_SERVER_NAMES = frozenset({"postgres", "postmaster"})


class Verdict(StrEnum):
    """What the process named in a postmaster.pid is."""

    GONE = "gone"  # no such process, or one PostgreSQL itself ignores
    SERVES = "serves"  # a server of this very directory
    OTHER = "other"  # some other process that got the number since
    UNKNOWN = "unknown"  # cannot be told from here


@dataclass(frozen=True)
class PidFile:
    """The first lines of a postmaster.pid: process id, data directory, start in seconds since 1970."""

    pid: int
    directory: str
    started: float

    @classmethod
    def parse(cls, text: str) -> PidFile | None:
        """What the text says; None when it is cut short."""
        try:
            pid, directory, started = text.splitlines()[:3]
            return cls(abs(int(pid)), directory, float(started))  # negative: a single-user server
        except ValueError:
            return None


def hold(directory: Path, cluster: Path) -> None:
    """Take the directory's lock for this process, what it becomes, and all its children.

    Waits for the sessions of a killed server to end: until then its shared memory is in use.

    Raises:
        HomeportError: DATABASE_IN_USE when a server lives, or its sessions did not end in time.
    """
    held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    deadline = time.monotonic() + _ORPHANS_END_WITHIN
    while not _locked(held):
        pid_file = _read(cluster)
        if pid_file is not None and judge(pid_file, cluster) is Verdict.SERVES:
            raise _in_use(cluster, f"process {pid_file.pid}")
        if time.monotonic() > deadline:
            raise _in_use(cluster, f"a process that did not end within {_ORPHANS_END_WITHIN:.0f} s")
        time.sleep(_PAUSE)
    os.set_inheritable(held, True)


def clear_left_behind(cluster: Path) -> None:
    """Remove a postmaster.pid that is provably stale; leave one that PostgreSQL judges itself.

    Raises:
        HomeportError: DATABASE_IN_USE when the process it names serves this directory, or may.
    """
    file = cluster / "postmaster.pid"
    if not file.exists():
        return
    pid_file = _read(cluster)
    if pid_file is None:
        # Cut short by a full disk or a machine kill. Whoever is starting now would hold the lock that is ours.
        _remove(file, "it is cut short")
        return
    match judge(pid_file, cluster):
        case Verdict.GONE:
            pass
        case Verdict.OTHER:
            _remove(file, f"process {pid_file.pid} is another program by now")
        case Verdict.SERVES | Verdict.UNKNOWN:
            raise _in_use(cluster, f"process {pid_file.pid}")


def judge(pid_file: PidFile, cluster: Path) -> Verdict:
    """What the process named in the file is: by its directory and name, else by its command line and age."""
    import psutil

    if pid_file.pid in {os.getpid(), os.getppid()}:
        return Verdict.GONE
    try:
        os.kill(pid_file.pid, 0)
        process = psutil.Process(pid_file.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return Verdict.OTHER
    except (ProcessLookupError, PermissionError, OverflowError, psutil.NoSuchProcess):
        return Verdict.GONE
    try:
        # A server's working directory is its data directory for as long as it lives.
        here = Path(process.cwd()).samefile(cluster)
        return Verdict.SERVES if here and process.name() in _SERVER_NAMES else Verdict.OTHER
    except psutil.NoSuchProcess:
        return Verdict.GONE
    except (psutil.AccessDenied, OSError):
        return _judge_from_afar(process.pid, pid_file, cluster)


def _judge_from_afar(pid: int, pid_file: PidFile, cluster: Path) -> Verdict:
    import psutil

    try:
        process = psutil.Process(pid)
        if str(cluster) in process.cmdline():
            return Verdict.SERVES
        younger = process.create_time() > pid_file.started + _CLOCK_SLACK
    except psutil.NoSuchProcess:
        return Verdict.GONE
    except psutil.AccessDenied:
        return Verdict.UNKNOWN
    return Verdict.OTHER if younger else Verdict.UNKNOWN


def _read(cluster: Path) -> PidFile | None:
    try:
        return PidFile.parse((cluster / "postmaster.pid").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None


def _locked(held: int) -> bool:
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # some network file systems have no locks; postmaster.pid is still looked at
    return True


def _remove(file: Path, why: str) -> None:
    file.unlink(missing_ok=True)
    sys.stderr.write(f"removed {file.name} left behind by an earlier server: {why}\n")


def _in_use(cluster: Path, who: str) -> HomeportError:
    return HomeportError(
        code="DATABASE_IN_USE",
        what="another PostgreSQL already serves this directory",
        evidence=(("directory", str(cluster)), ("served by", who)),
        why="two servers over one directory would destroy it",
        fix="homeport down, then start again; or choose another HOMEPORT_HOME",
    )
