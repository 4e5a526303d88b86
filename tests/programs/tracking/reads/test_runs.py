"""runs/get says of every run what MLflow says, or leaves it to MLflow."""

from __future__ import annotations

import random
import struct
from typing import Any

import pytest

from tests.programs.tracking.reads.both import AJAX, API, Both
from tests.programs.tracking.reads.filling import Filled

GET = API + "runs/get"
SEARCH = API + "runs/search"
TEXTS = [
    '"', "\\", '\\"', '",', '","', "'", "/", "\n", "\t\r", "\b\f", "\x01\x1f", "\x7f", "\u2028", "ä\u0301", "日本",
    "🙂", "\\u0041", "{}", "null", " ", "a" * 5000,
]  # fmt: skip


def test_every_run_is_told_as_mlflow_tells_it(both: Both, filled: Filled) -> None:
    told = [both.get(GET, run_id=run)["run"] for run in filled.runs]
    # The comparison would mean little if the kinds of runs were not there.
    assert any("dataset_inputs" in run["inputs"] for run in told)
    assert any("model_inputs" in run["inputs"] for run in told)
    assert any("model_outputs" in run["outputs"] for run in told)
    assert any(run["info"]["lifecycle_stage"] == "deleted" for run in told)
    values = [metric["value"] for run in told for metric in run["data"].get("metrics", [])]
    assert {"NaN", 1.0, 5e-324} <= set(values)


def test_the_older_name_of_the_id_and_unknown_arguments_are_taken(both: Both, filled: Filled) -> None:
    run = filled.runs[0]
    both.get(GET, run_uuid=run)
    both.get(GET, run_uuid="another", run_id=run)
    both.get(AJAX + "runs/get", run_id=[run, "a second one"], unknown="x")


@pytest.mark.parametrize("query", ["", "run_id=", "run_id=absent", "runId=x", "run_id=%00", "run_id=%ff", "run_uuid="])
def test_what_is_no_run_is_left_to_mlflow(both: Both, filled: Filled, query: str) -> None:
    assert both.stock(GET, query)[0] != 200
    both.left(GET, query)


def test_a_run_of_nothing_but_itself_has_empty_parts(both: Both, filled: Filled) -> None:
    run = both.store.create_run(filled.experiments[0], "", 5, [], "x").info.run_id
    both.store.delete_tag(run, "mlflow.runName")
    told = both.get(GET, run_id=run)["run"]
    assert (told["data"], told["inputs"], told["outputs"]) == ({}, {}, {})


def test_rows_that_only_others_write_are_told_alike(both: Both, filled: Filled, ask: Any) -> None:
    run = both.store.create_run(filled.experiments[0], "me", 5, [], "named").info.run_id
    ask(f"UPDATE runs SET name = NULL, end_time = 0, artifact_uri = '' WHERE run_uuid = '{run}'")
    assert both.get(GET, run_id=run)["run"]["info"]["run_name"] == "named"
    ask(f"UPDATE tags SET value = NULL WHERE run_uuid = '{run}'")
    both.get(GET, run_id=run)
    ask(f"UPDATE runs SET name = '' WHERE run_uuid = '{run}'")
    both.get(GET, run_id=run)
    ask(f"INSERT INTO latest_metrics VALUES ('k', 'Infinity', 1, 0, false, '{run}')")
    ask(f"INSERT INTO latest_metrics VALUES ('l', 'NaN', 1, 0, false, '{run}')")
    assert [m["value"] for m in both.get(GET, run_id=run)["run"]["data"]["metrics"]] == ["Infinity", "NaN"]


@pytest.mark.parametrize("column", ["user_id", "status", "start_time", "lifecycle_stage"])
def test_a_run_that_mlflow_cannot_read_is_left_to_it(both: Both, filled: Filled, ask: Any, column: str) -> None:
    run = both.store.create_run(filled.experiments[0], "me", 5, [], "x").info.run_id
    ask(f"UPDATE runs SET {column} = NULL WHERE run_uuid = '{run}'")
    both.left(GET, f"run_id={run}")
    ask(f"DELETE FROM tags WHERE run_uuid = '{run}'")
    ask(f"DELETE FROM runs WHERE run_uuid = '{run}'")


def test_a_metric_is_there_as_soon_as_it_was_acknowledged(both: Both, filled: Filled) -> None:
    from mlflow.entities import Metric

    run = both.store.create_run(filled.experiments[0], "me", 5, [], "x").info.run_id
    for step in range(5):
        both.store.log_metric(run, Metric("m", float(step), step, step))
        assert both.get(GET, run_id=run)["run"]["data"]["metrics"][0]["value"] == step


def test_texts_of_all_kinds_are_told_alike(both: Both, filled: Filled, ask: Any) -> None:
    from mlflow.entities import Param, RunTag

    run = both.store.create_run(filled.experiments[0], 'm"e\\', 5, [], 'a "name"\\').info.run_id
    params = [Param(f"p{number}", text) for number, text in enumerate(TEXTS)]
    both.store.log_batch(run, [], params, [RunTag(f"t{number}", text) for number, text in enumerate(TEXTS)])
    for key in ('q"k', "b\\\\k", "c\\x01k", "ük"):  # as only others write them
        ask(f"INSERT INTO tags VALUES (E'{key}', 'x', '{run}')")
        ask(f"INSERT INTO params VALUES (E'{key}', 'x', '{run}')")
        ask(f"INSERT INTO latest_metrics VALUES (E'{key}', 1, 1, 0, false, '{run}')")
    told = both.get(GET, run_id=run)["run"]["data"]
    assert set(TEXTS) <= {param["value"] for param in told["params"]}
    assert 'q"k' in {metric["key"] for metric in told["metrics"]}
    assert len(both.post(SEARCH, experiment_ids=[filled.experiments[0]], filter=f"run_id = '{run}'")["runs"]) == 1


def test_numbers_of_all_sizes_are_told_alike(both: Both, filled: Filled) -> None:
    from mlflow.entities import Metric

    dice = random.Random(7)
    numbers = [struct.unpack("d", dice.randbytes(8))[0] for _ in range(400)]
    numbers += [sign * 10.0**power for power in range(-30, 31) for sign in (1, -1)]
    numbers += [2.0**power + more for power in (24, 49, 52, 53, 54, 63) for more in (-1, 0, 0.5, 1)]
    numbers += [float(dice.randrange(-(10**17), 10**17)) for _ in range(100)]
    run = both.store.create_run(filled.experiments[0], "me", 5, [], "x").info.run_id
    big = 2**63 - 1
    metrics = [Metric(f"m{n}", value, big if n % 2 else 0, -n) for n, value in enumerate(numbers)]
    both.store.log_batch(run, metrics, [], [])
    assert len(both.get(GET, run_id=run)["run"]["data"]["metrics"]) == len(numbers)
