"""An installed platform as tests use it: MLflow's client through its Services, small models, faults in its pods."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import requests

from tests.cluster.configuration import RUNTIME
from tests.cluster.release import Release
from tests.e2e.harness import Homeport, MetricLoop, eventually
from tests.e2e.served import Models

_RETRIES = {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}


class Platform:
    """A release through loopback ports that lead to its Services, whichever pod stands behind them."""

    def __init__(self, release: Release) -> None:
        self.release = release
        addresses = {each["metadata"]["name"]: each["spec"]["clusterIP"] for each in release.objects("services")}
        tracking, serving = (addresses[f"{release.name}-{component}"] for component in ("tracking", "serving"))
        ports = release.node.door(f"{tracking}:5000", f"{serving}:5002")
        self.tracking_uri, self.serving_url = (f"http://127.0.0.1:{port}" for port in ports)
        self.login = ("admin", release.secret("admin-password"))
        self.key = {"authorization": f"Bearer {release.secret('serving-key')}"}

    def env(self) -> dict[str, str]:
        """The environment of a client that is logged in."""
        user, password = self.login
        login = {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": password}
        return {**os.environ, **_RETRIES, "MLFLOW_TRACKING_URI": self.tracking_uri, **login}

    def api(self, path: str, **parameters: str) -> Any:
        """A GET of MLflow's REST API, which must succeed."""
        url = f"{self.tracking_uri}/api/2.0/mlflow/{path}"
        answer = requests.get(url, params=parameters, auth=self.login, timeout=60)
        assert answer.status_code == 200, (path, answer.status_code, answer.text)
        return answer.json()

    def constant(self, name: str, value: float, directory: Path) -> str:
        """A champion that answers `value` whatever it is asked, and is served; its version."""
        with self.environment():
            models = Models(self.tracking_uri, directory)
            version = models.constant(name, value)
            models.point(name, "champion", version)
        eventually(lambda: self.predict(name) == (version, value), 90, f"{name}/{version} answers {value}")
        return version

    @contextmanager
    def environment(self) -> Iterator[None]:
        """MLflow's client in this process is logged in, too."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.env().items():
                if name.startswith("MLFLOW_"):
                    patch.setenv(name, value)
            yield

    def predict(self, name: str) -> tuple[str, float] | None:
        """Version and answer of a model's champion."""
        url = f"{self.serving_url}/models/{name}/invocations"
        answer = requests.post(url, json=ROW, headers=self.key, timeout=60)
        return (answer.headers["x-model-version"], answer.json()["predictions"][0]) if answer.ok else None

    def kill(self, component: str) -> None:
        """SIGKILL to the first process of a component's container, as the kernel does when memory runs out."""
        (pod,) = self.release.pods(component)
        (container,) = pod["status"]["containerStatuses"]
        task = container["containerID"].removeprefix("containerd://")
        ctr = ["ctr", f"--address={RUNTIME}", "--namespace=k8s.io"]
        self.release.node.run(*ctr, "tasks", "kill", "--signal=SIGKILL", task)

        def came_back() -> bool:
            (now,) = self.release.pods(component)
            (state,) = now["status"]["containerStatuses"]
            return bool(state["ready"]) and state["restartCount"] > container["restartCount"]

        eventually(came_back, 120, f"{component} started again")

    def delete(self, component: str, *words: str) -> None:
        """Delete a component's one pod, and wait for another that is ready."""
        (pod,) = self.release.pods(component)
        self.release.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false", *words)

        def another() -> bool:
            pods = self.release.pods(component)
            states = [each["ready"] for each in pods[0]["status"].get("containerStatuses", [])] if pods else []
            return bool(states) and all(states) and pods[0]["metadata"]["uid"] != pod["metadata"]["uid"]

        eventually(another, 180, f"another pod of {component} ready")


ROW: Mapping[str, object] = {"dataframe_split": {"columns": ["x"], "data": [[1.0]]}}


class Loop(MetricLoop):
    """MLflow's client, logging step after step with its own retries."""

    def __init__(self, platform: Platform, directory: Path) -> None:
        super().__init__(cast(Homeport, platform), directory)
        self._platform = platform

    def assert_nothing_lost(self) -> None:
        """Every acknowledged step is in the metric's history, and none is there twice."""
        run_id = self._file.read_text().splitlines()[0]
        # What was hurt may still be away, and with it every way in.
        ask = {"run_id": run_id, "metric_key": "m"}
        found = eventually(lambda: self._platform.api("metrics/get-history", **ask), 60, "its history")
        history = Counter(int(metric.get("step", 0)) for metric in found["metrics"])
        assert not set(self.acknowledged()) - set(history), json.dumps(sorted(history))[:500]
        assert set(history.values()) == {1}
