"""Requests that commute, fired at once over many connections: the same statuses, and at last the same rows."""

from __future__ import annotations

import json

import pytest

from tests.differential.both import Both
from tests.differential.shapes import BULK, GET_HISTORY, GET_RUN, LOG_BATCH, LOG_METRIC, SEARCH_RUNS, SET_TAG, Shape
from tests.differential.wire import Request

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CONNECTIONS = 16


def posted(shape: Shape, **fields: object) -> Request:
    return shape.request([(name, json.dumps(value)) for name, value in fields.items()])


def agree(both: Both, requests: list[Request]) -> None:
    stock, ours = both.burst(requests, CONNECTIONS)
    assert ours == stock
    found = [both.difference(read.request(read.right)) for read in (GET_RUN, GET_HISTORY, BULK, SEARCH_RUNS)]
    assert not any(found), "\n".join(found)
    assert not (rows := both.rows_differ()), rows


def test_metrics_of_few_keys_logged_at_once_leave_the_same_history_and_the_same_latest_values(both: Both) -> None:
    both.begin()
    agree(both, [
        posted(LOG_METRIC, run_id=f"@R{n % 2}@", key="mno"[n % 3], value=(n * 7) % 11, timestamp=n % 5, step=n % 7 - 1)
        for n in range(400)
    ])  # fmt: skip


def test_the_same_metric_logged_at_once_many_times_is_there_once(both: Both) -> None:
    both.begin()
    agree(both, [posted(LOG_METRIC, run_id="@R0@", key="m", value=1.5, timestamp=5, step=1)] * 200)


def test_batches_at_once_with_right_and_wrong_ones_among_them_leave_the_right_ones(both: Both) -> None:
    both.begin()
    requests = []
    for n in range(200):
        metrics = [{"key": f"m{(n + i) % 9}", "value": i - n, "timestamp": n % 3, "step": i} for i in range(10)]
        if n % 5 == 0:
            metrics[7]["key"] = "bad*"
        tags = [{"key": f"t{n}", "value": "x" * (8001 if n % 7 == 0 else 8)}]
        run = f"@R{n % 2}@" if n % 11 else "0" * 32
        # No param twice: upstream answers 400 where two requests bring the same one at the same moment.
        params = [{"key": f"p{n}", "value": "same"}, {"key": f"q{n}", "value": str(n)}]
        requests.append(posted(LOG_BATCH, run_id=run, metrics=metrics, params=params, tags=tags))
    agree(both, requests)


def test_tags_of_many_keys_set_at_once_are_all_there(both: Both) -> None:
    both.begin()
    agree(both, [posted(SET_TAG, run_id=f"@R{n % 2}@", key=f"t{n}", value=str(n)) for n in range(300)])
