"""One database with MLflow's schema and the platform's accounts for all tests here, and copies of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from tests.programs.database.server import Server
from tests.programs.tracking.conftest import uri
from tests.programs.tracking.guarded import Guarded

TEMPLATE = "guard_template"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def copies(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    """Makes databases that are as the job leaves them; gives their names."""
    postgres.ask(f"CREATE DATABASE {TEMPLATE}", database="postgres")
    Guarded(uri(postgres, TEMPLATE), tmp_path_factory.mktemp("template")).prepare()

    def make() -> str:
        name = f"guard_{next(_numbers)}"
        postgres.ask(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}", database="postgres")
        return name

    return make
