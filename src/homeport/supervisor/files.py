"""Small files written whole or not at all, and what the disk's refusals mean. Knows nothing of what the files say."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

from homeport.errors import HomeportError

_FULL = {errno.ENOSPC, errno.EDQUOT}


def write_atomic(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Replace a file in one step, mode 0600; `durable` also survives a power cut.

    Raises:
        OSError: as the system reports it; the old file is untouched and nothing is left beside it.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(handle, "wb") as file:  # noqa: PTH123 - opens a descriptor, not a path
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        error.filename = error.filename or str(path)  # A failed write does not say where.
        raise
    if durable:
        sync_directory(path.parent)


def write_json(path: Path, value: object) -> None:
    """Replace a JSON file in one step.

    Raises:
        OSError: as `write_atomic`.
    """
    write_atomic(path, json.dumps(value, separators=(",", ":")).encode() + b"\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None when there is none, or what is there is torn or no object."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def sync_directory(directory: Path) -> None:
    """Make a new name in a directory survive a power cut, where the file system can."""
    try:
        handle = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass  # Some network file systems refuse to sync a directory; the file itself is synced.
    finally:
        os.close(handle)


def disk_error(error: OSError, what: str) -> HomeportError:
    """A HomeportError that says what the disk refused: DISK_FULL, HOME_NOT_WRITABLE or HOME_NOT_A_DIRECTORY."""
    path = str(error.filename or "")
    evidence = (("system", f"{error.strerror or error}{f': {path}' if path else ''}"),)
    if error.errno in _FULL:
        return HomeportError(
            code="DISK_FULL",
            what=what,
            evidence=evidence,
            why="the disk or the quota is full",
            fix="free some space, or set HOMEPORT_HOME to a directory on another disk",
        )
    if error.errno in {errno.ENOTDIR, errno.EEXIST}:
        return HomeportError(
            code="HOME_NOT_A_DIRECTORY",
            what=what,
            evidence=evidence,
            why="there is a file where a directory has to be",
            fix="move the file away, or set HOMEPORT_HOME to another path",
        )
    read_only = error.errno == errno.EROFS
    return HomeportError(
        code="HOME_NOT_WRITABLE",
        what=what,
        evidence=evidence,
        why="the file system is read-only" if read_only else f"uid {os.getuid()} may not write there",
        fix="make it writable, or set HOMEPORT_HOME to a directory that is",
    )
