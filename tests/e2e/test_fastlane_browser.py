"""The page over the fast lane, in Chromium without a window: 5,000 runs, charts, two compared, one deleted and back."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
import requests

from tests.differential.pair import Side
from tests.e2e.clicking import browsing, of, saying
from tests.programs.database.programs import environment
from tests.programs.database.server import run

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]

RUNS = 5000
MADE = """
    insert into runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, end_time,
                      source_version, lifecycle_stage, artifact_uri, experiment_id)
    select lpad(to_hex(r), 32, '0'), 'many-' || r, 'UNKNOWN', '', '', 'me', 'FINISHED', 1700000000000 + r,
           1700000001000 + r, '', 'active', 'mlflow-artifacts:/0/x', {experiment} from generate_series(1, {runs}) r;
    insert into latest_metrics (key, value, timestamp, run_uuid, step, is_nan)
    select 'accuracy', r / 10000.0, 1, lpad(to_hex(r), 32, '0'), 0, false from generate_series(1, {runs}) r;
    insert into metrics (key, value, timestamp, run_uuid, step, is_nan)
    select 'accuracy', r / 10000.0, 1, lpad(to_hex(r), 32, '0'), 0, false from generate_series(1, {runs}) r;
    insert into params (key, value, run_uuid)
    select 'depth', (r % 9)::text, lpad(to_hex(r), 32, '0') from generate_series(1, {runs}) r;
    insert into tags (key, value, run_uuid) select 'mlflow.runName', name, run_uuid from runs
    where experiment_id = {experiment}
"""
# Chromium logs what a page says to its console without its severity: what is thrown, refused or not answered.
_ERROR = re.compile(r"CONSOLE.*(?:Uncaught|Unhandled|Failed to load resource|Refused to|Error:|status of [45]).*")


@pytest.fixture(scope="module")
def many(tracking: Side) -> tuple[Side, str]:
    """The tracking server, and an experiment with 5,000 runs in it."""
    import psycopg2

    create = f"{tracking.url}/api/2.0/mlflow/experiments/create"
    experiment = requests.post(create, json={"name": "many runs"}, timeout=30).json()["experiment_id"]
    with closing(psycopg2.connect(tracking.uri.replace("+psycopg2", ""))) as connection:
        run(connection, MADE.format(experiment=experiment, runs=RUNS))
        connection.commit()
    return tracking, experiment


@pytest.fixture
def page(many: tuple[Side, str], chromium: str, tmp_path: Path) -> Callable[[str], str]:
    """The page at a path once its scripts have run; the console of the page said no error."""

    def load(path: str) -> str:
        done = subprocess.run(
            [
                chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1400,900",
                "--virtual-time-budget=30000", "--dump-dom", f"{many[0].url}/{path}",
            ],
            capture_output=True, text=True, timeout=180, check=False, env=environment({"HOME": str(tmp_path)}),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert not (said := _ERROR.findall(done.stderr)), said
        return done.stdout

    return load


def test_the_table_of_5000_runs_shows_the_newest(many: tuple[Side, str], page: Callable[[str], str]) -> None:
    assert f"many-{RUNS}" in page(f"#/experiments/{many[1]}/runs")


def test_the_charts_of_5000_runs_show_their_metric(many: tuple[Side, str], page: Callable[[str], str]) -> None:
    assert "accuracy" in page(f"#/experiments/{many[1]}/runs?compareRunsMode=CHART")


def test_two_runs_compared_show_both(many: tuple[Side, str], page: Callable[[str], str]) -> None:
    ids = json.dumps([f"{number:032x}" for number in (7, 8)])
    found = page(f"#/compare-runs?runs={quote(ids)}&experiments={quote(json.dumps([many[1]]))}")
    assert "many-7" in found
    assert "many-8" in found


def test_a_run_deleted_and_restored_by_clicks_goes_and_comes_back(
    tracking: Side, chromium: str, tmp_path: Path
) -> None:
    api = f"{tracking.url}/api/2.0/mlflow"
    made = requests.post(f"{api}/experiments/create", json={"name": "clicked at"}, timeout=30).json()
    runs = []
    for number in range(3):
        values = {**made, "start_time": number + 1, "run_name": f"run {number}"}
        answer = requests.post(f"{api}/runs/create", json=values, timeout=30).json()
        runs.append(answer["run"]["info"]["run_id"])

    def stages() -> list[str]:
        found = [requests.get(f"{api}/runs/get", params={"run_id": run}, timeout=30).json() for run in runs]
        return [each["run"]["info"]["lifecycle_stage"] for each in found]

    async def clicked() -> None:
        gone, there = (f"{not_}document.body.innerText.includes('run 2')" for not_ in ("!", ""))
        first = of(".ag-row .ag-selection-checkbox")
        async with browsing(chromium, tmp_path) as page:
            await page.open(f"{tracking.url}/#/experiments/{made['experiment_id']}/runs")
            await page.until(there)
            await page.click(first)
            await page.click(of("[data-testid=runs-delete-button]"))
            await page.click(saying("[role=dialog] button", "Delete selected"))
            await page.until(gone)
            assert stages() == ["active", "active", "deleted"]
            await page.click(of("[data-testid=lifecycle-filter]"))
            await page.click(of("[data-testid=deleted-runs-menu-item]"))
            await page.until(there)
            await page.click(first)
            await page.click(of("[data-testid=runs-restore-button]"))
            await page.click(saying("[role=dialog] button", "Restore"))
            await page.until(gone)
            assert stages() == ["active"] * 3

    asyncio.run(clicked())
