"""For every test here: a home, patience without sleep, and a check that nothing is left behind."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from homeport.supervisor import identity
from homeport.supervisor.layout import Home

_PAUSE = 0.01
Eventually = Callable[..., None]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home whose directories exist."""
    made = Home(tmp_path / "home")
    made.create()
    return made


@pytest.fixture
def eventually() -> Eventually:
    """Wait until a check holds: `eventually(check, timeout)`."""
    return wait_until


def wait_until(check: Callable[[], object], timeout: float = 10.0) -> None:
    """Wait until the check is true; fail with it when it is not in time."""
    deadline = time.monotonic() + timeout
    while not check():
        assert time.monotonic() < deadline, f"not within {timeout} s: {check}"
        time.sleep(_PAUSE)


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path: Path) -> Iterator[None]:
    """Processes, sockets and descriptors after a test are those before it."""
    before = _descriptors()
    yield
    wait_until(lambda: not mentioning(tmp_path), 15.0)
    assert not list(tmp_path.rglob("*.sock")), "a socket is left"
    wait_until(lambda: len(_descriptors()) <= len(before), 5.0)


def mentioning(path: Path) -> list[int]:
    """Living processes but this one that have a path in their environment or command line."""
    wanted = os.fsencode(path)
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        except OSError:
            continue
        pid = int(process.name)
        if wanted in text and pid != os.getpid() and identity.alive(pid):
            found.append(pid)
    return found


def _descriptors() -> list[str]:
    """Sockets, pipes and process descriptors this process has open."""
    links = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            link = str(descriptor.readlink())
        except OSError:
            continue
        if link.startswith(("socket:", "pipe:", "anon_inode:[pidfd]")):
            links.append(link)
    return links
