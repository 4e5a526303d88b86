"""The load test against a whole platform: its numbers add up, and it finds what is wrong."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from loadtest.ledger import Written
from loadtest.outside import Platform
from loadtest.plan import Plan

from tests.documents import ROOT
from tests.e2e.harness import Homeport, eventually
from tests.e2e.served import Serving
from tests.e2e.test_readme import ran

COMMAND = (sys.executable, "-m", "loadtest", "--users", "8", "--spawn-rate", "8", "--pause", "0.02")
BATCH = 100  # metrics of one log-batch


def numbers(directory: Path) -> dict[str, Any]:
    found = json.loads((directory / "numbers.json").read_text())
    assert isinstance(found, dict)
    return found


def requests_of(found: dict[str, Any]) -> dict[str, int]:
    return {row["kind"]: row["requests"] for row in found["rows"]}


@pytest.mark.slow
def test_every_kind_of_user_is_answered_and_the_numbers_add_up(
    serving: Serving, wine_csv: Path, tmp_path: Path
) -> None:
    done = serving.platform.run(
        "run", "--", *COMMAND, "--run-time", "6s", "--processes", "2", "--rows", str(wine_csv), "--artifact-mb", "1",
        "--shares", "writer=3,reader=2,predictor=2,artifacts=1", "--report", str(tmp_path), PYTHONPATH=str(ROOT),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = numbers(tmp_path)
    by_kind = requests_of(found)
    total = by_kind.pop("all")
    assert total == sum(by_kind.values())
    assert {kind.split()[0] for kind in by_kind} == {"writer", "reader", "predictor", "artifacts"}
    # Locust itself counted the same.
    assert total == sum(entry["num_requests"] for entry in json.loads((tmp_path / "locust.json").read_text()))
    verdict = found["verdict"]
    assert verdict["good"]
    assert verdict["acknowledged"] == verdict["found"]
    assert verdict["acknowledged"] == by_kind["writer log-metric"] + BATCH * by_kind["writer log-batch"]
    assert (tmp_path / "report.html").read_text().count("<svg") == 2
    assert done.stdout == (tmp_path / "report.md").read_text() + "\n"


@pytest.mark.slow
def test_every_command_on_the_page_about_it_runs(clone_free_environ: dict[str, str], tmp_path: Path) -> None:
    environ = {
        **clone_free_environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{clone_free_environ['PATH']}",
        "HOMEPORT_TRACKING_PORT": "0", "HOMEPORT_SERVING_PORT": "0", "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    try:
        rows = ran("docs/how-to/load-test.md", environ, tmp_path)
    finally:
        Homeport(tmp_path / ".local" / "share" / "homeport", environ).close()
    said = [printed for command, _, printed in rows if "loadtest" in command]
    assert len(said) == 2
    for printed in said:
        assert "# Load test: passed" in printed, printed
        assert "predictor predict" in printed, printed
    assert requests_of(numbers(tmp_path / "loadtest-report"))["predictor predict"] > 100


@pytest.mark.slow
def test_nothing_is_left_of_a_test_but_a_deleted_experiment(platform: Homeport, tmp_path: Path) -> None:
    def experiments() -> set[str]:
        asked = {"max_results": 1000}
        answer = requests.post(f"{platform.tracking_uri}/api/2.0/mlflow/experiments/search", json=asked, timeout=30)
        return {each["name"] for each in answer.json()["experiments"]}

    before = experiments()
    platform.ok(
        "run", "--", *COMMAND, "--run-time", "2s", "--shares", "writer=1", "--report", str(tmp_path),
        PYTHONPATH=str(ROOT),
    )  # fmt: skip
    assert experiments() == before


@pytest.mark.slow
def test_a_test_that_is_ended_early_reports_what_there_was(platform: Homeport, tmp_path: Path) -> None:
    running = subprocess.Popen(
        [*COMMAND, "--run-time", "10m", "--shares", "writer=1,reader=1", "--report", str(tmp_path)],
        env={**platform.env(), "PYTHONPATH": str(ROOT), "HOMEPORT_LOAD_EXPERIMENT": "ended early"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        eventually(lambda: writes(platform, "ended early") > 0, 60, "a run of the load test")
        running.send_signal(signal.SIGTERM)
        said = running.communicate(timeout=120)
    finally:
        running.kill()
    assert running.returncode == 0, said
    assert numbers(tmp_path)["verdict"]["good"]
    assert requests_of(numbers(tmp_path))["writer create-run"] > 0


def writes(platform: Homeport, experiment: str) -> int:
    api = f"{platform.tracking_uri}/api/2.0/mlflow"
    named = requests.get(f"{api}/experiments/get-by-name", params={"experiment_name": experiment}, timeout=30)
    asked = {"experiment_ids": [named.json()["experiment"]["experiment_id"]], "filter": "metrics.loss > 0"}
    return len(requests.post(f"{api}/runs/search", json=asked, timeout=30).json().get("runs", ()))


@pytest.fixture
def wrong_server() -> Iterator[str]:
    """A serving API that gives two predictions for one row."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            example = {"dataframe_split": {"columns": ["x"], "data": [[1.0]]}}
            self._say({"models": [{"name": "wine-quality", "example": example}]})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self._say({"predictions": [1.0, 2.0]})

        def log_message(self, *_: Any) -> None:
            pass

        def _say(self, what: dict[str, Any]) -> None:
            body = json.dumps(what).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.slow
def test_an_answer_that_says_200_and_is_wrong_fails_the_test(
    platform: Homeport, wrong_server: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [*COMMAND, "--run-time", "2s", "--shares", "predictor=1", "--report", str(tmp_path)],
        env={**platform.env(), "PYTHONPATH": str(ROOT), "HOMEPORT_SERVING_URL": wrong_server}, text=True,
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert [error[1] for error in numbers(tmp_path)["errors"]] == ["2 predictions for one row"]
    assert "FAILED" in done.stdout


def test_a_step_that_nobody_wrote_is_found_to_be_lost(platform: Homeport) -> None:
    plan = replace(Plan.read(platform.env()), experiment="the ledger")
    checked = Platform(plan)
    api = f"{plan.tracking}/api/2.0/mlflow"
    made = requests.post(
        f"{api}/runs/create", json={"experiment_id": checked.experiment(), "start_time": 1}, timeout=30
    )
    run_id = made.json()["run"]["info"]["run_id"]
    for step in (0, 1, 2):
        told = {"run_id": run_id, "key": "loss", "value": step / 8, "timestamp": 1, "step": step}
        requests.post(f"{api}/runs/log-metric", json=told, timeout=30).raise_for_status()
    assert checked.verify([Written(run_id, "loss", 3)]).good
    assert checked.verify([Written(run_id, "loss", 4)]).lost == 1
    assert checked.verify([Written("0" * 32, "loss", 1)]).lost == 1


def test_without_a_platform_it_says_what_is_missing(tmp_path: Path, clone_free_environ: dict[str, str]) -> None:
    done = subprocess.run(
        COMMAND, env={**clone_free_environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "LOADTEST_NO_PLATFORM" in done.stderr
    assert not (tmp_path / "loadtest-report").exists()


def test_rows_of_the_real_wine_fit_its_example(serving: Serving, wine_csv: Path) -> None:
    from loadtest import rows

    names, data = rows.columns(serving.models()["wine-quality"]["example"])
    with wine_csv.open(newline="") as lines:
        there = sum(1 for _ in csv.reader(lines)) - 1
    assert len(rows.from_csv(wine_csv, names, data[0])) == there
