"""A cluster made once, one server for tests that only ask, and a copy for every test that changes something."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.programs.database.server import Server, serving

_MEMORY = Path("/dev/shm")
_ENOUGH = 2 * 2**30  # bytes


def make_room() -> Path:
    """A directory in memory where there is enough of it: a disk's fsync is not what is tested."""
    in_memory = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ENOUGH
    return Path(tempfile.mkdtemp(prefix="homeport-test-", dir=_MEMORY if in_memory else None))


@pytest.fixture(scope="session")
def template() -> Iterator[Path]:
    """The data directory of a database that was made and stopped."""
    room = make_room()
    server = Server(room / "data", room)
    try:
        server.start().stop()
        yield server.data
    finally:
        server.end()
        shutil.rmtree(room)


@pytest.fixture(scope="session")
def running(template: Path) -> Iterator[Server]:
    """A server that is only asked, never changed or stopped."""
    room = make_room()
    try:
        copy(template, room / "data")
        with serving(room / "data", room) as server:
            yield server
    finally:
        shutil.rmtree(room)


@pytest.fixture
def new() -> Iterator[Callable[..., Server]]:
    """Makes servers over directories that are not there yet."""
    room = make_room()
    servers: list[Server] = []

    def make(below: str = "data", **env: str) -> Server:
        servers.append(Server(room / below, room / "room", **env))
        return servers[-1]

    yield make
    for server in servers:
        server.end()
    shutil.rmtree(room)


@pytest.fixture
def server(new: Callable[..., Server], template: Path) -> Server:
    """A server, not started, over a copy of the cluster."""
    made = new()
    copy(template, made.data)
    return made


def copy(template: Path, to: Path) -> None:
    """A copy with the owners, which belong to an account of its own when root runs this."""
    subprocess.run(["cp", "-a", str(template), str(to)], check=True)
