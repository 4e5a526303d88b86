"""The gateway's directory: one writer at a time, files whole or not there at all. Knows nothing of what they say."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from homeport.errors import HomeportError

_HALF = ".half"


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Make the directory, and be the only one of ours that writes there; what a killed one left half is removed.

    Raises:
        HomeportError: GATEWAY_NOT_WRITABLE, also for what is written meanwhile.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for half in directory.rglob(f"*{_HALF}"):
                half.unlink()
            yield
    except OSError as error:
        raise _refused(directory, error) from error


def write(path: Path, content: bytes, mode: int) -> bool:
    """Replace a file in one step that a power cut cannot halve; whether it was anything else before."""
    with suppress(OSError):
        if path.read_bytes() == content and path.stat().st_mode & 0o777 == mode:
            return False
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(path.name + _HALF)
    with open(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:  # noqa: PTH123 - a descriptor
        os.fchmod(file.fileno(), mode)  # whatever the umask
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)
    return True


def _refused(directory: Path, error: OSError) -> HomeportError:
    full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    return HomeportError(
        code="DISK_FULL" if full else "GATEWAY_NOT_WRITABLE",
        what="the gateway's files cannot be written",
        evidence=(
            ("needed", f"{directory} writable for uid {os.geteuid()}"),
            ("error", f"{error.strerror or error}: {error.filename or directory}"),
        ),
        why="the disk or the quota is full" if full else "the volume belongs to another user, or is read-only",
        fix="free some space"
        if full
        else f"chown -R {os.geteuid()} the volume, or remove it: all in it can be made anew",
    )
