"""A cluster made once, one server for tests that only ask, and a copy for every test that changes something."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.programs.database.rooms import copy, made, make_room, served
from tests.programs.database.server import Server


@pytest.fixture(scope="session")
def template() -> Iterator[Path]:
    """The data directory of a database that was made and stopped."""
    with made() as data:
        yield data


@pytest.fixture(scope="session")
def running(template: Path) -> Iterator[Server]:
    """A server that is only asked, never changed or stopped."""
    with served(template) as server:
        yield server


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
