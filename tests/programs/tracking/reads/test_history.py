"""Histories of metrics, whole, in pages, of many runs and sampled, are MLflow's."""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeport.tracking.fast.database import Database
from homeport.tracking.fast.reads import history, texts
from tests.programs.database.server import Server
from tests.programs.tracking.conftest import uri
from tests.programs.tracking.reads.both import AJAX, API, Both
from tests.programs.tracking.reads.filling import Filled

GET = API + "metrics/get-history"
BULK = AJAX + "metrics/get-history-bulk"
INTERVAL = AJAX + "metrics/get-history-bulk-interval"


@pytest.mark.parametrize("key", ["loss", "flat", "odd", "with space", "absent"])
def test_a_history_is_told_as_mlflow_tells_it(both: Both, filled: Filled, key: str) -> None:
    both.get(GET, run_id=filled.history, metric_key=key)
    both.get(GET, run_uuid=filled.history, metric_key=key, unknown=1)


def test_the_history_of_no_run_is_empty(both: Both, filled: Filled) -> None:
    assert both.get(GET, run_id="absent", metric_key="loss") == {}


@pytest.mark.parametrize("size", [1, 999, 1000, 1500, 3000, 3001, 2**31 - 1])
def test_pages_of_a_history_are_walked_to_the_end(both: Both, filled: Filled, size: int) -> None:
    token, seen = None, 0
    for _ in range(4):
        page = both.get(
            GET, run_id=filled.history, metric_key="loss", max_results=size, **({"page_token": token} if token else {})
        )
        seen += len(page["metrics"])
        token = page.get("next_page_token")
        if not token:
            break
    assert seen == min(3000, 4 * size)


def test_a_token_without_a_size_gives_the_rest(both: Both, filled: Filled) -> None:
    token = both.get(GET, run_id=filled.history, metric_key="loss", max_results=2900)["next_page_token"]
    rest = both.get(GET, run_id=filled.history, metric_key="loss", page_token=token)
    assert len(rest["metrics"]) == 100


def test_a_history_longer_than_one_piece_is_told_whole(
    both: Both, filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "_AT_ONCE", 700)
    assert len(both.get(GET, run_id=filled.history, metric_key="loss")["metrics"]) == 3000
    both.get(GET, run_id=filled.history, metric_key="loss", max_results=3000)
    both.left(GET, f"run_id={filled.history}&metric_key=loss&max_results=2999")  # there would be another page
    monkeypatch.setattr(history, "_MOST", 2999)
    both.left(GET, f"run_id={filled.history}&metric_key=loss")


@pytest.mark.parametrize(
    "query",
    [
        "", "run_id=x", "metric_key=x", "run_id=&metric_key=x", "run_id=x&metric_key=",
        "run_id=x&metric_key=x&max_results=0",
        "run_id=x&metric_key=x&max_results=-1", "run_id=x&metric_key=x&max_results=x",
        "run_id=x&metric_key=x&max_results=2147483648", "run_id=x&metric_key=x&page_token=x",
    ],
)  # fmt: skip
def test_a_history_asked_for_badly_is_left_to_mlflow(both: Both, filled: Filled, query: str) -> None:
    both.left(GET, query)


@pytest.mark.parametrize("key", ["loss", "flat", "odd", "a", "absent", ""])
@pytest.mark.parametrize("size", [{}, {"max_results": 7}, {"max_results": 99999}])
def test_histories_of_many_runs_are_told_as_mlflow_tells_them(
    both: Both, filled: Filled, key: str, size: dict[str, int]
) -> None:
    runs = [*filled.runs[:30], filled.runs[0], "absent", ""]
    both.get(BULK, run_id=runs, metric_key=key, **size)


@pytest.mark.parametrize(
    "query", ["metric_key=x", "run_id=x", "run_id=x&metric_key=x&max_results=x", "run_id=x&metric_key=x&max_results=0"]
)
def test_histories_asked_for_badly_are_left_to_mlflow(both: Both, filled: Filled, query: str) -> None:
    both.left(BULK, query)


def test_more_runs_than_mlflow_takes_are_left_to_it(both: Both, filled: Filled) -> None:
    both.left(BULK, "metric_key=x" + "&run_id=x" * 101)
    both.left(INTERVAL, "metric_key=x" + "&run_ids=x" * 101)
    both.get(INTERVAL, run_ids=["x"] * 100, metric_key="x")


@pytest.mark.parametrize("key", ["loss", "flat", "odd", "a", "absent"])
@pytest.mark.parametrize("size", [1, 2, 3, 16, 17, 18, 320, 499, 500, 501, 1499, 1500, 1501, 2500, None])
def test_samples_are_the_ones_mlflow_takes(both: Both, filled: Filled, key: str, size: int | None) -> None:
    runs = [filled.history, *filled.runs[:5], filled.history, "absent"]
    both.get(INTERVAL, run_ids=runs, metric_key=key, **({"max_results": size} if size else {}))


@pytest.mark.parametrize(
    ("start", "end"), [(-50, 3000), (-10, 10), (0, 0), (5, 5), (2949, 2950), (100, 1777), (7000, 8000)]
)
def test_samples_among_steps_are_the_ones_mlflow_takes(both: Both, filled: Filled, start: int, end: int) -> None:
    for size in (1, 2, 10, 333, 2500):
        both.get(
            API + "metrics/get-history-bulk-interval",
            run_ids=[filled.history], metric_key="loss", start_step=start, end_step=end, max_results=size,
        )  # fmt: skip


@pytest.mark.parametrize(
    "query",
    [
        "run_ids=x", "metric_key=x", "run_ids=x&metric_key=", "run_ids=&metric_key=x",
        "run_ids=x&metric_key=x&max_results=0",
        "run_ids=x&metric_key=x&max_results=2501", "run_ids=x&metric_key=x&start_step=1",
        "run_ids=x&metric_key=x&end_step=1", "run_ids=x&metric_key=x&start_step=2&end_step=1",
        "run_ids=x&metric_key=x&start_step=a&end_step=b", "run_ids=x&metric_key=x&start_step=1&end_step=3000000000",
    ],
)  # fmt: skip
def test_samples_asked_for_badly_are_left_to_mlflow(both: Both, filled: Filled, query: str) -> None:
    both.left(INTERVAL, query)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(bits=st.lists(st.integers(0, 2**64 - 1), min_size=200, max_size=200))
def test_every_number_is_written_as_the_same_number(both: Both, bits: list[int]) -> None:
    values = [struct.unpack("<d", number.to_bytes(8, "little"))[0] for number in bits]
    values += [float(number % 10**17) for number in bits] + [number % 10**5 / 100 for number in bits]
    rows: Any = both.rows(
        f"select {texts.number(texts.BARE)} from unnest($1::float8[]) as t(value), (select false as is_nan) f",
        values,
    )
    assert [repr(json.loads(row[0])) for row in rows] == [repr(value) for value in values]


def test_numbers_are_exact_where_the_database_would_round_them(both: Both, postgres: Server) -> None:
    postgres.ask("ALTER DATABASE reads SET extra_float_digits = 0")
    database = Database(uri(postgres, "reads"))

    async def text() -> str:
        await database.open()
        row: Any = await database.row("select (0.1::float8 + 0.2::float8)::text")
        await database.close()
        return str(row[0])

    try:
        assert asyncio.run(text()) == repr(0.1 + 0.2)
    finally:
        postgres.ask("ALTER DATABASE reads RESET extra_float_digits")
