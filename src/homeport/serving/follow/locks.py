"""Locks between the processes of this machine: the system gives them back when their holder dies, however it dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


def taken(path: Path, *, shared: bool = False, wait: bool = True) -> int | None:
    """Lock a file, made if it is missing; a handle to `give_back`, or None when `wait` is off and another has it."""
    kind = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, kind)
            if _is_still_there(handle, path):
                return handle
        except BlockingIOError:
            os.close(handle)
            return None
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # whoever had it removed the file: a lock on a removed file keeps nobody out


def give_back(handle: int) -> None:
    """End the hold."""
    os.close(handle)


@contextlib.contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock inside the block, after waiting for it."""
    handle = taken(path, shared=shared)
    assert handle is not None
    try:
        yield
    finally:
        give_back(handle)


def _is_still_there(handle: int, path: Path) -> bool:
    try:
        there, mine = path.stat(), os.fstat(handle)
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)
