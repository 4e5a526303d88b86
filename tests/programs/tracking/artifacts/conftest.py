"""One object store and one artifacts room over it for all tests that do not break them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.programs.objectstore.store import Store
from tests.programs.tracking.artifacts.rooms import BUCKET, Room


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A running store with the bucket; no test stops it."""
    place = tmp_path_factory.mktemp("store")
    made = Store(place / "data", place / "room")
    try:
        made.start()
        made.client().create_bucket(Bucket=BUCKET)
        yield made
    finally:
        made.end()


@pytest.fixture(scope="session")
def room(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """A running room; no test stops it."""
    made = Room(store, tmp_path_factory.mktemp("room"))
    try:
        made.start()
        yield made
    finally:
        made.program.end()
