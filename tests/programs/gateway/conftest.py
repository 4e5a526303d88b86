"""One gateway before two servers for tests that only ask it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.programs.gateway.traefik import Traefik
from tests.programs.gateway.upstream import Upstream


@pytest.fixture(scope="session")
def upstreams() -> Iterator[dict[str, Upstream]]:
    """The servers behind, by subdomain."""
    made = {name: Upstream(name).start() for name in ("mlflow", "models")}
    yield made
    for each in made.values():
        each.end()


@pytest.fixture(scope="session")
def traefik(tmp_path_factory: pytest.TempPathFactory, upstreams: dict[str, Upstream]) -> Iterator[Traefik]:
    """A running gateway that no test stops."""
    made = Traefik(tmp_path_factory.mktemp("gateway"), {name: each.port for name, each in upstreams.items()})
    try:
        yield made.start()
    finally:
        made.end()
