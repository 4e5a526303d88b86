"""The directory with the private server's sockets: nobody else enters it, and what a killed server left is swept away.

Refuses to know who talks through the sockets.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "homeport-mlflow-"
_LONGEST = 80  # a socket's path may have 103 bytes (macOS), and `/homeport-mlflow-12345678/0.sock` belongs to it
_SHORT = "/tmp"  # noqa: S108 - the directory in it is made for one user only, under a name nobody knows before


@contextlib.contextmanager
def made() -> Iterator[str]:
    """A directory for one server's life; it is locked for as long as one of the server's processes lives."""
    base = tempfile.gettempdir()
    if len(os.fsencode(base)) > _LONGEST - len(_PREFIX):
        base = _SHORT
    _sweep(Path(base))
    while True:
        directory = tempfile.mkdtemp(prefix=_PREFIX, dir=base)
        lock = os.open(directory, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if Path(directory).is_dir():  # and not swept away between the lines above
            break
        os.close(lock)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)


def _sweep(base: Path) -> None:
    """Remove what servers of this user left behind that were killed."""
    for directory in base.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if directory.is_symlink() or directory.stat().st_uid != os.getuid():
                continue
            lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held: its server lives
                shutil.rmtree(directory, ignore_errors=True)
            finally:
                os.close(lock)
