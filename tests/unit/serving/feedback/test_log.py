from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from homeport.errors import HomeportError
from homeport.serving.feedback.database import parse_uri
from homeport.serving.feedback.log import PredictionLog

Make = Callable[[float], PredictionLog]


@pytest.fixture
def log() -> Iterator[Make]:
    made: list[PredictionLog] = []

    def make(sample: float) -> PredictionLog:
        made.append(
            PredictionLog(
                "postgresql://user:hidden@127.0.0.1:1/log", sample=sample,
                on_dropped=lambda _count: None, on_failed=lambda _why: None,
            )
        )  # fmt: skip
        return made[-1]

    yield make
    for each in made:
        each.stop(1)


def test_a_sample_is_its_share_of_the_requests_and_the_same_in_every_process(log: Make) -> None:
    ids = [f"request-{number}" for number in range(10_000)]
    tenth, again, half = log(0.1), log(0.1), log(0.5)
    chosen = [one for one in ids if tenth.wants(one)]
    assert 900 < len(chosen) < 1100
    assert [one for one in ids if again.wants(one)] == chosen
    assert all(half.wants(one) for one in chosen)
    assert tenth.wants("request-1") is False  # a fixed answer: the hash must not change with a release
    assert tenth.wants(chosen[0])


def test_all_and_none_are_exact(log: Make) -> None:
    everything, nothing = log(1.0), log(0.0)
    assert all(everything.wants(text) for text in ("", "a", "é", "\udcff"))
    assert not any(nothing.wants(text) for text in ("", "a", "é", "\udcff"))


@pytest.mark.parametrize(
    "uri",
    ["postgres://u:hidden@h/d", "postgresql://u:hidden@h/d", "postgresql+psycopg://u:hidden@h:5/d?sslmode=require"],
)
def test_every_way_to_write_postgresql_is_taken_and_no_password_shown(uri: str) -> None:
    database = parse_uri(uri)
    assert (database.store.host, database.store.database) == ("h", "d")
    assert "hidden" not in str(database)
    assert "hidden" not in repr(database)


def test_an_address_that_cannot_be_read_names_its_own_setting() -> None:
    with pytest.raises(HomeportError) as refused:
        parse_uri("postgresql://u:hidden@h:port/d", "HOMEPORT_ADMIN_DATABASE_URI")
    block = refused.value.block()
    assert "HOMEPORT_ADMIN_DATABASE_URI" in block
    assert "MLFLOW" not in block
    assert "hidden" not in block
