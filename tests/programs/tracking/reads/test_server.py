"""Over a real server: the front asks the private one for plans, and the client gets the front's answer."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest
import requests

from tests.differential.pair import homeport
from tests.programs.database.programs import eventually
from tests.programs.database.server import Server


@pytest.mark.slow
def test_a_search_with_a_filter_is_answered_by_the_front(postgres: Server, tmp_path: Path) -> None:
    with homeport(postgres, tmp_path, "reads_served") as side:
        client = mlflow.MlflowClient(side.url)
        runs = [client.create_run("0", run_name=f"run {number}") for number in range(3)]
        for number, run in enumerate(runs):
            client.log_metric(run.info.run_id, "m", number / 2)
            client.log_param(run.info.run_id, "p", "x%" if number else "y")
        body = {"experiment_ids": ["0"], "filter": "metrics.m > 0.1 and params.p LIKE 'x%'", "order_by": ["metrics.m"]}
        url = side.url + "/api/2.0/mlflow/runs/search"

        def by_the_front() -> bool:
            # MLflow indents its JSON, the front does not: so they are told apart.
            answer = requests.post(url, json=body, timeout=30)
            found = [run["info"]["run_id"] for run in answer.json()["runs"]]
            assert found == [run.info.run_id for run in runs[1:]]
            return b"\n" not in answer.content

        eventually(by_the_front, 30)
        refused = requests.post(url, json={**body, "filter": "nonsense"}, timeout=30)
        assert (refused.status_code, refused.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
        hidden = requests.post(side.url + "/homeport/internal/plan", json={}, timeout=30)
        assert hidden.status_code == 404
        found = client.search_runs(["0"], "metrics.m >= 0.5", order_by=["metrics.m DESC"], max_results=1)
        assert [run.info.run_id for run in found] == [runs[2].info.run_id]
        assert found.token
        assert client.get_metric_history(runs[1].info.run_id, "m")[0].value == 0.5
        assert client.get_run(runs[0].info.run_id).data.params == {"p": "y"}
        assert client.get_experiment_by_name("Default").experiment_id == "0"
        assert [experiment.name for experiment in client.search_experiments(filter_string="name LIKE 'Def%'")] == [
            "Default"
        ]
