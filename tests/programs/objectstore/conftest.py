"""One store for tests that only use it, and a fresh one for those that stop or break it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.programs.objectstore.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store that is not started yet."""
    made = Store(tmp_path / "with spaces" / "data", tmp_path / "room")
    yield made
    made.end()


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A running store that no test stops; every test uses a bucket of its own."""
    room = tmp_path_factory.mktemp("store")
    made = Store(room / "data", room / "room")
    try:
        made.start()
        yield made
    finally:
        made.end()
