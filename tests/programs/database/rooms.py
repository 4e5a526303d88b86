"""Where a test's database is: directories in memory, a cluster made once, servers over copies of it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.programs.database.server import Server, serving

_MEMORY = Path("/dev/shm")
_ENOUGH = 2 * 2**30  # bytes


def make_room() -> Path:
    """A directory in memory where there is enough of it: a disk's fsync is not what is tested."""
    in_memory = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ENOUGH
    return Path(tempfile.mkdtemp(prefix="homeport-test-", dir=_MEMORY if in_memory else None))


@contextmanager
def made() -> Iterator[Path]:
    """The data directory of a database that was made and stopped."""
    room = make_room()
    server = Server(room / "data", room)
    try:
        server.start().stop()
        yield server.data
    finally:
        server.end()
        shutil.rmtree(room)


@contextmanager
def served(cluster: Path) -> Iterator[Server]:
    """A running server over a copy of a cluster."""
    room = make_room()
    try:
        copy(cluster, room / "data")
        with serving(room / "data", room) as server:
            yield server
    finally:
        shutil.rmtree(room)


def copy(cluster: Path, to: Path) -> None:
    """A copy with the owners, which belong to an account of its own when root runs this."""
    subprocess.run(["cp", "-a", str(cluster), str(to)], check=True)
