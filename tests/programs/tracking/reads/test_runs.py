"""runs/get says of every run what MLflow says, or leaves it to MLflow."""

from __future__ import annotations

from typing import Any

import pytest

from tests.programs.tracking.reads.both import AJAX, API, Both
from tests.programs.tracking.reads.filling import Filled

GET = API + "runs/get"


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
