"""Who a process is: alive or not, since when, and whether it descends from a service of ours.

A process id alone says nothing after a reboot or a wrap-around, so every stored id goes with the start time of its
process. Stdlib only and importable alone: the warden loads this file without the package. On Linux it reads /proc,
elsewhere it asks ps.
"""

from __future__ import annotations

import os
from pathlib import Path

_PROC = Path("/proc")
LINUX = (_PROC / "self" / "stat").exists()

_STATE, _PARENT, _START = 0, 1, 19
"""Places in /proc/PID/stat after the command's name; proc(5) counts them as fields 3, 4 and 22."""


def started(pid: int) -> str | None:
    """What tells this process from a later one with the same id; None when there is no such process."""
    if LINUX:
        fields = _stat(pid)
        return f"{_boot()}/{fields[_START]}" if fields else None
    return "_".join(_ps("-o", "lstart=", "-p", str(pid)).split()) or None


def alive(pid: int) -> bool:
    """Whether the process exists and has not ended; a zombie has."""
    if LINUX:
        fields = _stat(pid)
        return fields is not None and fields[_STATE] not in {"Z", "X"}
    state = _ps("-o", "stat=", "-p", str(pid)).strip()
    return bool(state) and not state.startswith("Z")


def same(pid: int, since: str) -> bool:
    """Whether the process that `started` described is still the one with this id."""
    return bool(since) and started(pid) == since


def children(pid: int) -> list[int]:
    """Direct children of a process, zombies included. Linux only; elsewhere empty."""
    try:
        threads = list((_PROC / str(pid) / "task").iterdir())
        return [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    except OSError:  # A kernel without CONFIG_PROC_CHILDREN: look at everybody.
        return [other for other in _pids() if (fields := _stat(other)) and int(fields[_PARENT]) == pid]


def marked(marker: str, *, exact: bool = False) -> list[int]:
    """Living processes of this user whose environment has an entry that begins with (`exact`: is) `marker`.

    A program that leaves its process group (PostgreSQL's backends do) is found by the environment it inherited.
    """
    if not LINUX:
        return _marked_by_ps(f"{marker} " if exact else marker)
    wanted = os.fsencode(marker)
    found = []
    for pid in _pids():
        try:
            entries = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # Another user's, or gone meanwhile.
        if any(entry == wanted if exact else entry.startswith(wanted) for entry in entries) and alive(pid):
            found.append(pid)
    return found


def _pids() -> list[int]:
    return [int(name) for name in os.listdir(_PROC) if name.isdigit()] if LINUX else []  # noqa: PTH208 - names, not paths


def _stat(pid: int) -> list[str] | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()  # The command's name may hold blanks and brackets itself.


def _boot() -> str:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "boot"


def _ps(*arguments: str) -> str:
    import subprocess

    try:
        done = subprocess.run(("/bin/ps", *arguments), capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def _marked_by_ps(marker: str) -> list[int]:
    rows = (line.strip().partition(" ") for line in _ps("-axEww", "-o", "pid=,command=").splitlines())
    return [
        int(pid) for pid, _, rest in rows if pid.isdigit() and f" {marker}" in f"{rest} " and int(pid) != os.getpid()
    ]
