"""The UI as a browser shows it: Chromium without a window, on a platform with a run."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from tests.e2e.harness import Homeport

pytestmark = pytest.mark.system

RUN = """
import mlflow
mlflow.set_experiment({experiment!r})
with mlflow.start_run(run_name={run!r}) as run:
    mlflow.log_param("depth", 7)
    mlflow.log_metric("accuracy", 0.8125)
    mlflow.log_text("seen in the browser", "note.txt")
print(run.info.experiment_id, run.info.run_id)
"""


@pytest.fixture(scope="module")
def run(platform: Homeport) -> dict[str, str]:
    """A run with a param, a metric and an artifact, in an experiment of its own."""
    mark = uuid4().hex[:8]
    names = {"experiment": f"experiment-{mark}", "run": f"run-{mark}"}
    said = platform.ok("run", "--", "python", "-W", "ignore", "-c", RUN.format(**names))
    experiment_id, run_id = said.split()[-2:]
    return {**names, "experiment_id": experiment_id, "run_id": run_id}


@pytest.fixture
def dom(platform: Homeport, chromium: str, tmp_path: Path) -> Callable[[str], str]:
    """The page at a path of the UI, once its scripts have run."""

    def load(path: str) -> str:
        done = subprocess.run(
            [
                chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                f"--user-data-dir={tmp_path / uuid4().hex}", "--window-size=1400,900",
                "--virtual-time-budget=30000", "--dump-dom", f"{platform.tracking_uri}/{path}",
            ],
            capture_output=True, text=True, timeout=180, check=False, env={**platform.environ, "HOME": str(tmp_path)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return load


def test_the_list_of_experiments_shows_the_experiment(dom: Callable[[str], str], run: dict[str, str]) -> None:
    assert run["experiment"] in dom("#/experiments")


def test_the_page_of_an_experiment_shows_its_run(dom: Callable[[str], str], run: dict[str, str]) -> None:
    assert run["run"] in dom(f"#/experiments/{run['experiment_id']}/runs")


def test_the_page_of_a_run_shows_its_param_and_its_metric(dom: Callable[[str], str], run: dict[str, str]) -> None:
    page = dom(f"#/experiments/{run['experiment_id']}/runs/{run['run_id']}")
    assert run["run"] in page
    assert "depth" in page
    assert "0.8125" in page


def test_the_page_of_artifacts_shows_the_artifact(dom: Callable[[str], str], run: dict[str, str]) -> None:
    assert "note.txt" in dom(f"#/experiments/{run['experiment_id']}/runs/{run['run_id']}/artifacts")
