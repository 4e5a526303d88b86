"""What the doctor says of the fast lane, for each thing a server may say of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from homeport.operations.doctor import Check
from homeport.operations.fastlane import examine
from tests.unit.operations.conftest import Serve

Says = Callable[[int, object], str]


@pytest.fixture
def says(serve: Serve) -> Says:
    """Starts a server that says this at /ready; gives its address."""
    return lambda status, answer: serve(lambda asked: (status if asked.path == "/ready" else 404, answer))


@pytest.mark.parametrize(
    ("lane", "status", "message"),
    [
        ({"on": True, "why": ""}, "pass", "hot calls are answered without MLflow"),
        ({"on": False, "why": "HOMEPORT_FASTLANE is off"}, "pass", "off: HOMEPORT_FASTLANE is off"),
        ({"on": False, "why": "MLflow is 9.9"}, "warn", "off, all is answered by MLflow: MLflow is 9.9"),
    ],
)
@pytest.mark.parametrize("ready", [200, 503])
def test_what_the_server_says_is_told(
    says: Says, lane: dict[str, object], status: str, message: str, ready: int
) -> None:
    (row,) = examine(says(ready, {"ready": ready == 200, "fast_lane": lane}), {})
    assert (row.status, row.message) == (status, message)
    assert bool(row.fix) == (status == "warn")


@pytest.mark.parametrize("answer", [{"ready": True}, [], b"<html>", {"fast_lane": "on"}])
def test_a_server_that_says_nothing_of_it_gets_no_row(says: Says, answer: object) -> None:
    rows: list[Check] = list(examine(says(200, answer), {}))
    assert rows == []


def test_a_server_that_is_not_there_gets_no_row() -> None:
    assert list(examine("http://127.0.0.1:9", {})) == []
