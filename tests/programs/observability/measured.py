"""A real platform, serving API, gateway and Prometheus, which asks them as observability/prometheus.yml says."""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.e2e.harness import Homeport, eventually
from tests.e2e.served import Models
from tests.programs.database.programs import Program, free_port
from tests.programs.gateway.traefik import Traefik

ROOT = Path(__file__).resolve().parents[3] / "observability"
KEY = "a-key-of-the-serving-api"
_ROWS = {"dataframe_split": {"columns": ["x"], "data": [[1.0]]}}


def program(name: str) -> str:
    """Where one of Prometheus' programs is."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} on this machine: apt-get install prometheus")
    return found


class Measured:
    """All of it, running; one model answers, one cannot be served, and one has gone on to its next version."""

    def __init__(self, room: Path) -> None:
        self._room = room
        self._platform = Homeport(room / "home", {"HOMEPORT_SERVE": "none"})
        self._serving: Program | None = None
        self._gateway: Traefik | None = None
        self._prometheus: subprocess.Popen[bytes] | None = None
        self._log = room / "prometheus.log"
        self._port = free_port()

    def start(self) -> Measured:
        self._platform.up()
        uri = self._platform.tracking_uri
        models = Models(uri, self._room)
        models.point("constant", "champion", models.constant("constant", 7.0))
        serving = free_port()
        env = {
            "HOMEPORT_LISTEN_PORT": str(serving), "HOMEPORT_WORKERS": "2", "HOMEPORT_SERVING_KEY": KEY,
            "MLFLOW_TRACKING_URI": uri, "HOMEPORT_SERVING_CACHE": str(self._room / "cache"),
            "HOMEPORT_SERVING_POLL": "0.2",
        }  # fmt: skip
        self._serving = Program("homeport.serving", env, self._room / "serving")
        routes = {"mlflow": int(uri.rpartition(":")[2]), "models": serving}
        self._gateway = Traefik(self._room, routes).start()
        eventually(lambda: self.predict().status_code == 200, 60, "a prediction through the gateway")
        broken = models.client.create_run("0").info
        models.client.log_text(broken.run_id, "nothing", "model/MLmodel")
        models.client.create_registered_model("broken")
        made = models.client.create_model_version("broken", f"{broken.artifact_uri}/model", broken.run_id)
        models.point("broken", "champion", str(made.version))
        self._start_prometheus(
            {
                "serving": serving,
                "tracking": routes["mlflow"],
                "gateway": self._gateway.internal,
                "prometheus": self._port,
            }
        )
        return self

    def _start_prometheus(self, ports: Mapping[str, int]) -> None:
        config = yaml.safe_load((ROOT / "prometheus.yml").read_text())
        config["global"] = dict.fromkeys(config["global"], "1s")
        config["rule_files"] = [str(ROOT / "rules.yml")]
        key = self._room / "serving-key"
        key.write_text(f"{KEY}\n")
        for job in config["scrape_configs"]:
            job["static_configs"] = [{"targets": [f"127.0.0.1:{ports[job['job_name']]}"]}]
            if "authorization" in job:
                job["authorization"]["credentials_file"] = str(key)
            if "basic_auth" in job:  # nobody has to log in here
                job["basic_auth"]["password_file"] = str(key)
        file = self._room / "prometheus.yml"
        file.write_text(yaml.safe_dump(config))
        command = [
            program("prometheus"), f"--config.file={file}", f"--storage.tsdb.path={self._room / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
        ]  # fmt: skip
        with self._log.open("wb") as log:
            self._prometheus = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def predict(self, rows: object = _ROWS, key: str = KEY) -> requests.Response:
        """One prediction through the gateway."""
        assert self._gateway is not None
        return requests.post(
            self._gateway.url("models", "/models/constant/invocations"), json=rows, verify=self._gateway.ca, timeout=30,
            headers={"authorization": f"Bearer {key}"},
        )  # fmt: skip

    def traffic(self) -> None:
        """What a busy minute brings, in a moment."""
        assert self._gateway is not None
        assert [self.predict().status_code for _ in range(5)] == [200] * 5
        assert self.predict({"dataframe_split": {}}).status_code == 400
        assert self.predict(key="another-key-than-that").status_code == 401
        assert self._gateway.get("mlflow", "/health").status_code == 200
        assert self._gateway.get("models", "/metrics").status_code == 403
        runs = f"{self._platform.tracking_uri}/api/2.0/mlflow/runs"
        run = requests.post(f"{runs}/create", json={"experiment_id": "0"}, timeout=30).json()["run"]["info"]["run_id"]
        metric = {"run_id": run, "key": "loss", "value": 0.5, "timestamp": 1, "step": 1}
        assert requests.post(f"{runs}/log-metric", json=metric, timeout=30).status_code == 200

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """What Prometheus answers to a query: its series."""
        url = f"http://127.0.0.1:{self._port}/api/v1/query"
        answer = requests.post(url, data={"query": expression}, timeout=30).json()
        assert answer["status"] == "success", answer
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def numbers(self, expression: str) -> list[float]:
        """The numbers of a query's series."""
        values = [float(series["value"][1]) for series in self.ask(expression)]
        return [value for value in values if math.isfinite(value)]

    def alerts(self) -> dict[str, str]:
        """Every alert and its rule's health."""
        found = requests.get(f"http://127.0.0.1:{self._port}/api/v1/rules", timeout=30).json()["data"]["groups"]
        return {rule["name"]: rule["health"] for group in found for rule in group["rules"]}

    def end(self) -> None:
        if self._prometheus is not None:
            self._prometheus.terminate()
            self._prometheus.wait(30)
        if self._gateway is not None:
            self._gateway.end()
        if self._serving is not None:
            self._serving.end()
        self._platform.close()
