"""What is remembered of when a page's runs started makes a search faster, and never another one."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator
from typing import Any

import pytest

from homeport.tracking.fast.reads.since import EVER, Since
from tests.programs.tracking.reads.both import API, Both

SEARCH = API + "runs/search"
LATEST_FIRST: list[list[str]] = [
    [],
    ["start_time DESC"],
    ["attributes.start_time desc", "metrics.m ASC"],
    ["created DESC"],
]
OTHERS = [["start_time ASC"], ["metrics.m DESC"]]


@pytest.fixture(scope="module")
def experiment(both: Both) -> str:
    """One with twelve runs, of which some started at the same time."""
    made: str = both.store.create_experiment("searched again and again")
    for start in range(12):
        both.store.create_run(made, "me", 1000 + start // 2, [], f"run {start}")
    return made


@pytest.fixture(params=[*LATEST_FIRST, *OTHERS], ids=str)
def found(both: Both, experiment: str, request: Any) -> Iterator[Any]:
    """Asks both for the first runs in that order."""

    def ids(most: int = 5, **fields: object) -> list[str]:
        page = both.post(SEARCH, experiment_ids=[experiment], order_by=request.param, max_results=most, **fields)
        return [run["info"]["run_id"] for run in page.get("runs", [])]

    yield ids
    deleted = both.post(SEARCH, experiment_ids=[experiment], run_view_type="DELETED_ONLY")
    for run in deleted.get("runs", []):
        both.store.restore_run(run["info"]["run_id"])


@pytest.mark.slow
def test_a_search_repeated_sees_runs_that_are_new_deleted_and_restored(both: Both, experiment: str, found: Any) -> None:
    first = found()
    assert found() == first
    for run in first[:2]:
        both.store.delete_run(run)
    assert not set(first[:2]) & set(found())
    assert found() == found()
    both.store.restore_run(first[0])
    found()
    for start in (5000, 1005, 1, 0, -1):
        both.store.create_run(experiment, "me", start, [], "another")
        found()
    for most in (1, 2, 100, 5):
        assert found(most) == found(most)
    found(filter="attributes.run_name = 'another'")
    for run in found(100):
        both.store.delete_run(run)
        found()
    assert found() == []


def test_pages_after_the_first_are_as_full_as_they_were(both: Both, experiment: str) -> None:
    for _ in range(2):
        token, seen = None, []
        while True:
            page = both.post(SEARCH, experiment_ids=[experiment], max_results=2, page_token=token)
            seen += [run["info"]["run_id"] for run in page["runs"]]
            token = page.get("next_page_token")
            if not token:
                break
        whole = both.post(SEARCH, experiment_ids=[experiment])["runs"]
        assert seen == [run["info"]["run_id"] for run in whole]


def test_a_run_without_a_start_is_not_lost(both: Both, experiment: str, ask: Any) -> None:
    run = both.store.create_run(experiment, "me", 7000, [], "x").info.run_id
    body = {"experiment_ids": [experiment], "max_results": 3}
    for _ in range(2):
        both.post(SEARCH, **body)
    ask(f"UPDATE runs SET start_time = NULL WHERE run_uuid = '{run}'")
    both.left(SEARCH, body=json.dumps(body).encode())  # it comes first, and MLflow cannot write it
    both.post(SEARCH, **body, order_by=["start_time DESC"])  # here it comes last
    both.store.delete_run(run)


@pytest.mark.parametrize("order_by", LATEST_FIRST, ids=str)
def test_a_search_tells_the_next_one_when_its_last_run_started(
    both: Both, experiment: str, order_by: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt: list[int | None] = []
    learn = Since.learn

    def listen(self: Since, asked: Hashable, started: int | None) -> None:
        learnt.append(started)
        learn(self, asked, started)

    monkeypatch.setattr(Since, "learn", listen)
    page = both.post(SEARCH, experiment_ids=[experiment], order_by=order_by, max_results=3)
    both.post(SEARCH, experiment_ids=[experiment], order_by=order_by, max_results=3)
    last = both.post(SEARCH, experiment_ids=[experiment], order_by=order_by, max_results=4)["runs"][-1]
    assert page["next_page_token"]
    assert learnt[:2] == [last["info"]["start_time"]] * 2


def test_no_more_than_a_thousand_guesses_are_kept() -> None:
    since = Since()
    for number in range(1500):
        since.learn(number, number)
    assert since.guess(0) == EVER
    assert since.guess(1499) == 1499
    since.learn(1499, None)
    assert since.guess(1499) == EVER
