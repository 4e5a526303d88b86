"""One pair of servers for all tests that only ask."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.differential.both import Both, One
from tests.differential.pair import homeport, postgres, stock


@pytest.fixture(scope="session")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Stock MLflow and Homeport, each on a database of its own."""
    room: Path = tmp_path_factory.mktemp("pair")
    with ExitStack() as stack:
        server = stack.enter_context(postgres())
        sides = [
            stack.enter_context(start(server, room / start.__name__, start.__name__)) for start in (stock, homeport)
        ]
        ones = []
        for side in sides:
            connection = stack.enter_context(closing(server.connect(database=side.database)))
            ones.append(One(side, connection))
        pair = Both(*ones)
        stack.callback(pair.close)
        yield pair
