"""Experiments made by Homeport are those that stock MLflow makes: answers, rows, and what becomes of a taken name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.differential.both import Both, One
from tests.differential.shapes import CREATE_EXPERIMENT, DELETE_EXPERIMENT, LOG_BATCH, RESTORE_EXPERIMENT
from tests.differential.test_fast import fast
from tests.differential.wire import Request

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

THREADS = 16
PLAIN = [
    {"name": "plain"}, {"name": "ünï 😀"}, {"name": " spaces \n"}, {"name": "x" * 256}, {"name": "😀" * 256},
    {"name": "with tags", "tags": [{"key": "mlflow.note.content", "value": "é" * 20000}, {"key": "a/b"}]},
    {"name": "like the page", "artifact_location": "", "tags": [{"key": "mlflow.experimentKind", "value": "ml"}]},
    {"name": "bucket", "artifact_location": "s3://bucket"}, {"name": "here", "artifact_location": "mlflow-artifacts:/"},
    {"name": "below", "artifact_location": "s3://bucket/a_b"},
    {"name": "directory", "artifact_location": "/tmp/x"},
]  # fmt: skip
ODD = [
    {"name": "plain"}, {"name": "Default"}, {"name": ""}, {}, {"name": None}, {"name": 7}, {"name": 1.5},
    {"name": True}, {"name": ["a"]}, {"name": {"a": 1}}, {"name": "x" * 257}, {"name": "x" * 500}, {"name": "x" * 501},
    {"name": "a\0b"}, {"name": "t1", "tags": None}, {"name": "t2", "tags": "t"}, {"name": "t3", "tags": {"k": "v"}},
    {"name": "t4", "tags": [{"key": "k", "value": "1"}] * 2}, {"name": "t5", "tags": [{"key": "bad*", "value": "1"}]},
    {"name": "t6", "tags": [{"key": "k", "value": "x" * 20001}]}, {"name": "t7", "tags": [{"key": "k" * 251}]},
    {"name": "t8", "tags": [{"value": "v"}]}, {"name": "t9", "tags": [{"key": "k", "value": 7}]},
    {"name": "ta", "tags": [{"key": "mlflow.trace.archivalRetention", "value": "soon"}]},
    {"name": "tb", "tags": [{"key": f"mlflow.customView.{n}", "value": "{}"} for n in range(3)]},
    {"name": "tc", "tags": [{"key": "k", "value": "v", "more": 1}]}, {"name": "td", "tags": [None]},
    {"name": "l1", "artifact_location": None}, {"name": "l2", "artifact_location": 7},
    {"name": "l3", "artifact_location": "a/relative/path"}, {"name": "l4", "artifact_location": "file:///tmp/x"},
    {"name": "l5", "artifact_location": "s3://b/a?x=1"}, {"name": "l6", "artifact_location": "s3://b/a?x=.."},
    {"name": "l7", "artifact_location": "s3://b/a#f"}, {"name": "l8", "artifact_location": "s3://b/a;p"},
    {"name": "l9", "artifact_location": "runs:/a"}, {"name": "la", "artifact_location": "http://169.254.169.254/"},
    {"name": "lb", "artifact_location": "mlflow-artifacts://other/a"}, {"name": "lc", "artifact_location": "../up"},
    {"name": "ld", "artifact_location": "s3://b/../a"}, {"name": "le", "artifact_location": "s3://b//a"},
    {"name": "lf", "artifact_location": "/a/../b"}, {"name": "lg", "artifact_location": "//a"},
    {"name": "lh", "artifact_location": "s3://" + "a" * 252}, {"name": "li", "artifact_location": "s3://" + "a" * 2048},
    {"name": "lj", "artifact_location": " "}, {"name": "lk", "artifact_location": "s3://b/é"},
    {"name": "camel", "artifactLocation": "s3://bucket"}, {"name": "unknown", "workspace": "team"},
    {"name": "two", "artifact_location": "s3://a", "artifactLocation": "s3://b"},
]  # fmt: skip


def create(body: Any) -> Request:
    return Request("POST", CREATE_EXPERIMENT.target, json.dumps(body).encode())


def made_fast(both: Both) -> float:
    return fast(both).get("create-experiment", 0.0)


def test_experiments_as_clients_make_them_are_stocks_and_made_in_the_fast_lane(both: Both) -> None:
    both.begin()
    before = made_fast(both)
    requests = [create(body) for body in PLAIN]
    requests.append(Request("POST", CREATE_EXPERIMENT.target.replace("/api", "/ajax-api"), b'{"name": "the page\'s"}'))
    found = [difference for request in requests if (difference := both.difference(request))]
    assert not found, "\n".join(found)
    assert made_fast(both) - before == len(requests)
    assert not (rows := both.rows_differ()), rows


def test_odd_experiments_get_what_stock_gives_and_later_ones_the_same_numbers(both: Both) -> None:
    both.begin()
    requests = [create(body) for body in (PLAIN[0], *ODD, {"name": "at last"})]
    found = [difference for request in requests if (difference := both.difference(request))]
    assert not found, "\n".join(found)
    assert not (rows := both.rows_differ()), rows


def test_the_name_of_a_deleted_experiment_stays_taken(both: Both) -> None:
    both.begin()
    mine = create({"name": "mine"})
    deleted = DELETE_EXPERIMENT.request([("experiment_id", '"@E1@"')])
    restored = RESTORE_EXPERIMENT.request([("experiment_id", '"@E1@"')])
    requests = [mine, deleted, mine, restored, mine, deleted, create({"name": "mine "})]
    found = [difference for request in requests if (difference := both.difference(request))]
    assert not found, "\n".join(found)
    assert not (rows := both.rows_differ()), rows


def experiments(one: One) -> list[tuple[str, str, str]]:
    """Name, location with the experiment's own number taken out, and stage."""
    reply = one.wire.ask(
        Request("POST", "/api/2.0/mlflow/experiments/search", b'{"max_results": 1000, "view_type": "ALL"}')
    )
    return sorted(
        (each["name"], each["artifact_location"].replace(each["experiment_id"], "N"), each["lifecycle_stage"])
        for each in json.loads(reply.body)["experiments"]
    )


def test_of_one_name_asked_for_by_sixteen_at_once_exactly_one_is_made(both: Both) -> None:
    both.begin()
    stock, ours = both.burst([create({"name": "contested"})] * THREADS, THREADS)
    assert ours == stock == [200] + [400] * (THREADS - 1)
    both.burst([create({"name": f"n{nth % 10}"}) for nth in range(4 * THREADS)], THREADS)
    assert experiments(both.homeport) == experiments(both.stock)


def test_a_batch_that_names_its_run_is_answered_fast_and_leaves_stocks_rows(both: Both) -> None:
    both.begin()
    before = fast(both).get("log-batch", 0.0)
    for nth in range(5):
        tags = json.dumps([{"key": "t", "value": "1"}, {"key": "mlflow.runName", "value": f"rün {nth}"}])
        sent = LOG_BATCH.request([("run_id", '"@R0@"'), ("metrics", LOG_BATCH.fields["metrics"][2]), ("tags", tags)])
        assert not (difference := both.difference(sent)), difference
    assert fast(both).get("log-batch", 0.0) - before == 5
    assert not (rows := both.rows_differ()), rows
