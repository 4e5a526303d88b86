"""MLflow's own client, autolog and plain REST against the tracking server: right results, and hot calls went fast."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.differential.pair import Side
from tests.programs.database.programs import environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def fast(side: Side, outcome: str = "fast") -> dict[str, int]:
    """Route -> how many requests the fast lane answered, or what else became of them."""
    text = requests.get(f"{side.url}/metrics", timeout=30).text
    found = re.findall(r"^homeport_tracking_requests_total\{(.*)\} (\S+)$", text, flags=re.M)
    return {
        re.search(r'route="([^"]*)"', labels)[1]: int(float(value))  # type: ignore[index] # the front's own page
        for labels, value in found
        if f'outcome="{outcome}"' in labels
    }


def python(side: Side, source: str, directory: Path) -> Any:
    """What a program with MLflow's client prints last, as JSON."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", source], capture_output=True, text=True, check=False, timeout=300,
        cwd=directory,
        env=environment({
            "MLFLOW_TRACKING_URI": side.url, "MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "GIT_PYTHON_REFRESH": "quiet",
        }),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


FLUENT = """
import json, mlflow, time
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
mlflow.set_experiment("fluent")
mlflow.set_experiment("fluent")  # now it is there
client = MlflowClient()
with mlflow.start_run(run_name="parent") as parent:
    mlflow.log_params({f"p{i}": i for i in range(30)})
    mlflow.set_tags({"stage": "dev", "ü": "😀"})
    for step in range(20):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_metrics({"a": float("nan"), "b": float("inf"), "c": -0.0}, step=1)
    mlflow.log_input(mlflow.data.from_dict({"x": [1, 2]}, name="tiny") if hasattr(mlflow.data, "from_dict")
                     else mlflow.data.from_numpy(__import__("numpy").arange(3), name="tiny"), context="train")
    with mlflow.start_run(run_name="child", nested=True) as child:
        futures = [mlflow.log_metric("async", i, step=i, synchronous=False) for i in range(200)]
        for future in futures:
            future.wait()
run_id = parent.info.run_id
points = [Metric("batch", i, 1000 + i, i) for i in range(1000)]
client.log_batch(run_id, points, [Param("late", "1")], [RunTag("t", "v")])
client.set_tag(run_id, "gone", "1"); client.delete_tag(run_id, "gone")
ids = [client.create_run(child.info.experiment_id, start_time=1000 + i).info.run_id for i in range(25)]
pages, token = [], None
while True:
    page = client.search_runs([child.info.experiment_id], max_results=10, page_token=token, order_by=["start_time ASC"])
    pages.append(len(page)); token = page.token
    if not token: break
client.delete_run(ids[0]); gone = client.get_run(ids[0]).info.lifecycle_stage
client.restore_run(ids[0]); back = client.get_run(ids[0]).info.lifecycle_stage
client.update_run(ids[0], status="FAILED", name="renamed")
found = client.get_run(run_id)
print(json.dumps({
    "params": len(found.data.params), "loss": found.data.metrics["loss"], "nan": str(found.data.metrics["a"]),
    "inf": str(found.data.metrics["b"]), "tag": found.data.tags["ü"], "pages": pages, "stages": [gone, back],
    "history": len(client.get_metric_history(run_id, "batch")),
    "async": len(client.get_metric_history(child.info.run_id, "async")),
    "parent": client.get_run(child.info.run_id).data.tags["mlflow.parentRunId"] == run_id,
    "input": found.inputs.dataset_inputs[0].dataset.name, "renamed": client.get_run(ids[0]).info.run_name,
    "filtered": len(mlflow.search_runs(filter_string="metrics.loss < 0.06 and params.p3 = '3' and tags.stage = 'dev'")),
    "gone": "gone" in found.data.tags,
}))
"""


def test_the_fluent_api_and_the_client_get_what_they_logged_and_go_fast(tracking: Side, tmp_path: Path) -> None:
    before = fast(tracking)
    found = python(tracking, FLUENT, tmp_path)
    assert found == {
        "params": 31, "loss": 0.05, "nan": "nan", "inf": "1.7976931348623157e+308", "tag": "😀", "pages": [10, 10, 7],
        "stages": ["deleted", "active"], "history": 1000, "async": 200, "parent": True, "input": "tiny",
        "renamed": "renamed", "filtered": 1, "gone": False,
    }  # fmt: skip
    went = {route: count - before.get(route, 0) for route, count in fast(tracking).items()}
    least = {
        "log-metric": 20, "log-batch": 3, "create-run": 27, "get-run": 5, "search-runs": 4, "get-history": 2,
        "set-tag": 1, "delete-tag": 1, "delete-run": 1, "restore-run": 1, "update-run": 3, "log-inputs": 1,
        "get-experiment-by-name": 1,
    }  # fmt: skip
    assert {route: went.get(route, 0) for route, count in least.items() if went.get(route, 0) < count} == {}


AUTOLOG = """
import json, mlflow, numpy as np
mlflow.set_experiment("autolog")
mlflow.autolog(log_input_examples=False)
from sklearn.linear_model import LogisticRegression
import xgboost
rng = np.random.default_rng(0)
X, y = rng.random((60, 3)), rng.integers(0, 2, 60)
with mlflow.start_run() as first:
    LogisticRegression(C=0.5).fit(X, y)
with mlflow.start_run() as second:
    xgboost.train({"max_depth": 2, "nthread": 1}, xgboost.DMatrix(X, label=y), num_boost_round=5,
                  evals=[(xgboost.DMatrix(X, label=y), "train")])
mlflow.autolog(disable=True)
from mlflow import MlflowClient
client = MlflowClient()
one, two = client.get_run(first.info.run_id), client.get_run(second.info.run_id)
with mlflow.start_run() as third:
    logged = mlflow.sklearn.log_model(LogisticRegression().fit(X, y), name="tiny", registered_model_name="tiny",
                                      serialization_format="skops", params={"ü": 1}, tags={"stage": "dev"})
    mlflow.log_metric("accuracy", 0.75, model_id=logged.model_id)
everywhere = [third.info.experiment_id]
newest = mlflow.search_logged_models(everywhere, output_format="list")
good = mlflow.search_logged_models(everywhere, "metrics.accuracy > 0.5 AND params.ü = '1'", output_format="list",
                                   order_by=[{"field_name": "metrics.accuracy", "ascending": False}])
model = mlflow.get_logged_model(logged.model_id)
many = client.create_logged_model(everywhere[0], name="many", params={f"p{i}": str(i) for i in range(150)})
client.delete_logged_model_tag(logged.model_id, "stage")
client.delete_logged_model(many.model_id)
client.set_registered_model_alias("tiny", "champion", "1")
loaded = mlflow.pyfunc.load_model("models:/tiny@champion")
print(json.dumps({
    "C": one.data.params["C"], "score": "training_score" in one.data.metrics, "models": len(one.outputs.model_outputs),
    "rounds": len(client.get_metric_history(second.info.run_id, "train-rmse")), "depth": two.data.params["max_depth"],
    "predicted": len(loaded.predict(X)), "alias": client.get_model_version_by_alias("tiny", "champion").version,
    "output": client.get_run(third.info.run_id).outputs.model_outputs[0].model_id == logged.model_id,
    "newest": [each.name for each in newest][:1], "good": [each.model_id == logged.model_id for each in good],
    "model": [str(model.status), model.params["ü"], model.tags["stage"], [m.value for m in model.metrics]],
    "many": len(many.params), "left": len(mlflow.search_logged_models(everywhere, output_format="list")) - len(newest),
}))
"""


def test_autolog_of_scikit_learn_and_xgboost_and_a_logged_model_work(tracking: Side, tmp_path: Path) -> None:
    before = fast(tracking)
    found = python(tracking, AUTOLOG, tmp_path)
    assert found == {
        "C": "0.5", "score": True, "models": 1, "rounds": 5, "depth": "2", "predicted": 60, "alias": "1",
        "output": True, "newest": ["tiny"], "good": [True], "model": ["READY", "1", "dev", [0.75]], "many": 150,
        "left": 0,
    }  # fmt: skip
    went = {route: count - before.get(route, 0) for route, count in fast(tracking).items()}
    assert went.get("log-batch", 0) >= 2
    assert went.get("create-run", 0) >= 3
    assert went.get("get-alias", 0) >= 1
    least = {
        "create-logged-model": 4, "finalize-logged-model": 3, "set-logged-model-tags": 1, "log-logged-model-params": 1,
        "get-logged-model": 3, "search-logged-models": 3,
    }  # fmt: skip
    assert {route: went.get(route, 0) for route, count in least.items() if went.get(route, 0) < count} == {}
    passed = fast(tracking, "passed")
    assert {route: passed[route] for route in least if passed.get(route)} == {}


def test_plain_rest_with_64_bit_numbers_as_texts_goes_fast(tracking: Side) -> None:
    session = requests.Session()
    session.trust_env = False
    api = f"{tracking.url}/api/2.0/mlflow"

    def post(call: str, **body: Any) -> Any:
        answer = session.post(f"{api}/{call}", json=body, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    before = fast(tracking)
    run = post("runs/create", experiment_id="0", start_time="1600000000000", user_id="r", tags=[])["run"]["info"]
    run_id = run["run_id"]
    post("runs/log-metric", run_id=run_id, run_uuid=run_id, key="m", value=1.25, timestamp="1600000000001", step="3")
    post("runs/log-metric", run_id=run_id, key="m", value="NaN", timestamp="1600000000002", step="4")
    metrics = [{"key": "n", "value": i, "timestamp": str(i), "step": str(i)} for i in range(50)]
    post("runs/log-batch", run_id=run_id, metrics=metrics)
    post("runs/log-parameter", run_id=run_id, key="p", value="1")
    post("runs/set-tag", run_id=run_id, key="t", value="1")
    post("runs/update", run_id=run_id, status="FINISHED", end_time="1600000000009")
    got = session.get(f"{api}/runs/get", params={"run_id": run_id, "run_uuid": run_id}, timeout=30).json()["run"]
    assert (run["start_time"], got["info"]["end_time"], got["info"]["status"]) == (
        1600000000000,
        1600000000009,
        "FINISHED",
    )
    assert {m["key"]: (m["step"], m["timestamp"]) for m in got["data"]["metrics"]} == {
        "m": (4, 1600000000002),
        "n": (49, 49),
    }
    history = session.get(f"{api}/metrics/get-history", params={"run_id": run_id, "metric_key": "n"}, timeout=30)
    assert [point["value"] for point in history.json()["metrics"]] == [float(i) for i in range(50)]
    went = {route: count - before.get(route, 0) for route, count in fast(tracking).items()}
    assert {route: went.get(route, 0) for route in (
        "create-run", "log-metric", "log-batch", "log-parameter", "set-tag", "update-run", "get-run", "get-history",
    )} == {
        "create-run": 1, "log-metric": 2, "log-batch": 1, "log-parameter": 1, "set-tag": 1, "update-run": 1,
        "get-run": 1, "get-history": 1,
    }  # fmt: skip
