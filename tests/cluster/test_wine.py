"""The reference workload: the wine is trained by the chart's own Job, served by two replicas, and loaded."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.cluster.platform import Platform
from tests.cluster.release import Release
from tests.e2e.harness import eventually

MODEL = "wine-quality"
SMALL = {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "2Gi"}}  # two cores carry all of it
VALUES = {
    "tracking": {"replicas": 2, "resources": SMALL},
    "serving": {"replicas": 2, "resources": SMALL},
    "training": {
        "enabled": True,
        "resources": SMALL,
        "suspend": True,  # on demand: kubectl create job --from
        "command": ["python", "-m", "homeport.training", MODEL, "--data", "/data/wine.csv"],
        "extraVolumes": [{"name": "data", "configMap": {"name": "wine"}}],
        "extraVolumeMounts": [{"name": "data", "mountPath": "/data", "readOnly": True}],
    },
}


@pytest.fixture(scope="module")
def trained(release: Release, wine_csv: Path) -> Iterator[Platform]:
    """A platform on which the training Job has run once."""
    release.kubectl("create", "configmap", "wine", f"--from-file=wine.csv={wine_csv}")
    release.install(VALUES)
    release.kubectl("create", "job", "wine", f"--from=cronjob/{release.name}-training")
    try:
        release.kubectl("wait", "--for=condition=complete", "job/wine", "--timeout=300s", timeout=330)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{release.kubectl('logs', 'job/wine')}") from error
    yield Platform(release)
    release.uninstall()


def test_the_training_job_registers_a_champion_that_every_replica_serves(trained: Platform, wine_csv: Path) -> None:
    with wine_csv.open(encoding="utf-8", newline="") as file:
        head, first = [row for _, row in zip(range(2), csv.reader(file), strict=False)]
    body = {"dataframe_split": {"columns": head[:-1], "data": [[float(value) for value in first[:-1]]]}}

    def answers() -> bool:
        # Each request may meet another replica: so many in a row met both.
        url = f"{trained.serving_url}/models/{MODEL}/invocations"
        found = [requests.post(url, json=body, headers=trained.key, timeout=60) for _ in range(12)]
        return all(each.ok and each.headers["x-model-version"] == "1" for each in found)

    eventually(answers, 90, f"{MODEL}/1 answers from both replicas")


def test_under_load_every_answer_is_right_and_nothing_acknowledged_is_lost(
    trained: Platform, wine_csv: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "loadtest", "--users", "20", "--spawn-rate", "10", "--run-time", "20s"]
    key = trained.key["authorization"].removeprefix("Bearer ")
    env = {**trained.env(), "HOMEPORT_SERVING_URL": trained.serving_url, "HOMEPORT_SERVING_KEY": key}
    done = subprocess.run(
        [*command, "--rows", str(wine_csv), "--report", str(tmp_path / "report")],
        env=env, capture_output=True, text=True, timeout=180, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    found = json.loads((tmp_path / "report" / "numbers.json").read_text())
    assert found["good"]
    kinds = {row["kind"].split()[0] for row in found["rows"] if row["requests"]}
    assert kinds >= {"writer", "reader", "predictor", "artifacts"}
    assert [row for row in found["rows"] if row["failed"]] == []
    print((tmp_path / "report" / "report.md").read_text())  # noqa: T201 - the numbers, for who runs it with -rP


def test_the_charts_own_load_test_says_the_same_from_inside(trained: Platform) -> None:
    release = trained.release
    asked = {"enabled": True, "users": 12, "spawnRate": 6, "duration": "12s", "resources": SMALL}
    release.upgrade({**VALUES, "loadtest": asked})
    (job,) = (each for each in release.objects("jobs") if "-loadtest-" in each["metadata"]["name"])
    name = f"job/{job['metadata']['name']}"
    try:
        release.kubectl("wait", "--for=condition=complete", name, "--timeout=180s", timeout=200)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{release.kubectl('logs', name)}") from error
    report = release.kubectl("logs", name)
    assert "# Load test: passed" in report, report
    kinds = {line.split("|")[1].split()[0] for line in report.splitlines() if line.startswith("| ")}
    assert kinds >= {"writer", "reader", "predictor", "artifacts"}, report
