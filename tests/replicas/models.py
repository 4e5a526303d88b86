"""A registered model whose version N answers N, logged and aliased by MLflow's own client in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import requests

from tests.replicas.hosts import Cluster, _inherited

_REGISTER = """
import sys, mlflow, numpy, pandas
from mlflow import MlflowClient
from sklearn.dummy import DummyRegressor
name, versions = sys.argv[1], int(sys.argv[2])
x = pandas.DataFrame({"x": [1.0, 2.0]})
for number in range(1, versions + 1):
    model = DummyRegressor(strategy="constant", constant=float(number)).fit(x, [0.0, 0.0])
    mlflow.sklearn.log_model(model, name="model", registered_model_name=name, input_example=None,
        signature=mlflow.models.infer_signature(x, model.predict(x)), pip_requirements=["scikit-learn"])
MlflowClient().set_registered_model_alias(name, "champion", "1")
"""


def register(cluster: Cluster, name: str, versions: int = 2) -> dict[str, float]:
    """Register it with the alias champion on version 1; what each version answers."""
    environ = {**_inherited(), **cluster.client_environ(), "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _REGISTER, name, str(versions)],
        env=environ, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {str(number): float(number) for number in range(1, versions + 1)}


def move_alias(cluster: Cluster, name: str, version: str) -> None:
    """Champion is another version from now on."""
    body = {"name": name, "alias": "champion", "version": version}
    auth = None
    if cluster.auth:
        environ = cluster.client_environ()
        auth = (environ["MLFLOW_TRACKING_USERNAME"], environ["MLFLOW_TRACKING_PASSWORD"])
    answer = requests.post(f"{cluster.url()}/api/2.0/mlflow/registered-models/alias", json=body, auth=auth, timeout=30)
    assert answer.ok, answer.text


def served(url: str, name: str) -> set[str]:
    """Versions of a model that one replica serves now."""
    answer = requests.get(f"{url}/status", timeout=30)
    assert answer.ok, answer.text
    return {str(row["version"]) for row in answer.json()["models"] if row["name"] == name}


def reload(url: str) -> None:
    """`POST /reload` at one replica."""
    answer = requests.post(f"{url}/reload", timeout=300)
    assert answer.ok, answer.text


def unready(url: str) -> str:
    """What one replica says that is not ready; empty once it is."""
    answer = requests.get(f"{url}/ready", timeout=30)
    return "" if answer.ok else answer.text
