"""`homeport train wine-quality --from-feedback` on a real log: what it learns from and keeps, and who is champion."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from homeport.serving.feedback import statements
from homeport.training.data import COLUMNS, FEATURES
from tests.programs.database.programs import environment
from tests.programs.serving.feedback.tables import prediction
from tests.programs.serving.feedback.web import site

ROWS = 300

pytestmark = pytest.mark.slow

KEPT = """
import json, sys
import mlflow
run = mlflow.MlflowClient().get_run(sys.argv[1])
print(json.dumps({
    "params": run.data.params,
    "metrics": run.data.metrics,
    "inputs": {i.tags[0].value: json.loads(i.dataset.profile)["num_rows"] for i in run.inputs.dataset_inputs},
    "sources": {i.tags[0].value: i.dataset.source for i in run.inputs.dataset_inputs},
}))
"""


class Wine:
    """A trainer's machine: a file, a tracking store of its own, and the address of serving."""

    def __init__(self, room: Path, url: str) -> None:
        self.csv = room / "wine.csv"
        self.url = url
        self.env = environment(
            {
                "MLFLOW_TRACKING_URI": f"sqlite:///{room}/mlflow.db",
                "HOMEPORT_SERVING_URL": url,
                "NO_PROXY": "127.0.0.1",
                "MLFLOW_DISABLE_TELEMETRY": "true",
            }
        )
        self.room = room
        table = wines(ROWS, seed=1, quality=lambda x: 5 + x[:, 0])
        lines = [",".join(COLUMNS), *(",".join(map(repr, row)) for row in table.tolist())]
        self.csv.write_text("\n".join(lines) + "\n")
        self.table = table

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "ignore", *arguments],
            env=self.env, cwd=self.room, capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip

    def train(self, *arguments: str) -> dict[str, Any]:
        command = ("-m", "homeport.training", "wine-quality", "--data", str(self.csv), "--n-estimators", "40", "--json")
        done = self.run(*command, *arguments)
        outcome = json.loads(done.stdout)
        assert isinstance(outcome, dict), done.stderr
        return outcome

    def kept(self, outcome: dict[str, Any]) -> dict[str, Any]:
        done = self.run("-c", KEPT, outcome["run"]["id"])
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))


def wines(rows: int, seed: int, quality: Any) -> Any:
    measured = np.random.default_rng(seed).random((rows, len(FEATURES)))
    return np.column_stack([measured, quality(measured)])


@pytest.fixture
def wine(uri: str, tmp_path: Path) -> Iterator[Wine]:
    with site(uri) as url:
        yield Wine(tmp_path, url)


def feed(session: Any, wine: Wine, table: Any, request_id: str) -> None:
    """Predict these wines and tell their quality, through the log and the route."""
    rows = [dict(zip(FEATURES, row, strict=True)) for row in table[:, :-1].tolist()]
    entry = prediction(request_id, rows, model="wine-quality")
    statements.write(session, [statements.prediction(entry)], lambda: pytest.fail("refused"))
    body = {"request_id": request_id, "truth": table[:, -1].tolist()}
    with contextlib.closing(requests.Session()) as client:
        client.trust_env = False
        assert client.post(f"{wine.url}/feedback", json=body, timeout=30).json() == {
            "accepted": len(rows),
            "unknown": [],
        }


def test_fresh_rows_are_learned_from_and_make_a_better_champion_on_the_same_rows(wine: Wine, session: Any) -> None:
    refused = wine.train("--from-feedback")
    assert refused["error"]["code"] == "FEEDBACK_EMPTY"

    first = wine.train()
    assert first["data"]["fresh_rows"] == 0
    # The world has changed: another measurement counts now. Some wines of the file come by again.
    feed(session, wine, wines(400, seed=2, quality=lambda x: 5 + 3 * x[:, 10]), "changed")
    feed(session, wine, wine.table, "again")

    second = wine.train("--from-feedback")
    kept = wine.kept(second)
    learned, held, left = (int(kept["params"][f"fresh_{name}"]) for name in ("rows", "held_out", "left_out"))
    assert learned + held == 400 + ROWS * 4 // 5
    assert left == ROWS // 5
    assert 40 < held < 120
    assert second["data"] == {
        **first["data"],
        "train_rows": ROWS * 4 // 5 + learned,
        "test_rows": ROWS // 5 + held,
        "fresh_rows": learned + held,
    }
    assert kept["inputs"] == {"training": ROWS * 4 // 5, "testing": ROWS // 5 + held, "fresh": learned}
    assert f"{wine.url}/training-data" in kept["sources"]["fresh"]

    champion = second["champion"]
    assert (champion["version"], champion["reason"]) == ("2", "better")
    # The old champion was scored with the fresh held-out rows, too, where it knows nothing.
    assert champion["previous"]["metrics"]["rmse"] > first["metrics"]["rmse"]
    assert kept["metrics"]["champion_rmse"] == champion["previous"]["metrics"]["rmse"]

    # One round learns too little: the champion, scored anew on the same rows, stays in service.
    third = wine.train("--from-feedback", "--n-estimators", "1")
    assert (str(third["champion"]["version"]), third["champion"]["reason"]) == ("2", "not-better")
    assert third["champion"]["previous"]["metrics"] == pytest.approx(second["metrics"])


def test_a_truth_that_is_no_number_stops_the_training_until_it_is_corrected(wine: Wine, session: Any) -> None:
    table = wines(20, seed=3, quality=lambda x: 5 + x[:, 0])
    feed(session, wine, table, "good")
    with contextlib.closing(requests.Session()) as client:
        client.trust_env = False
        client.post(f"{wine.url}/feedback", json={"request_id": "good", "truth": "fine"}, timeout=30)
        refused = wine.train("--from-feedback")
        assert refused["error"]["code"] == "FEEDBACK_UNUSABLE"
        assert "request good, row 0" in str(refused["error"])
        client.post(f"{wine.url}/feedback", json={"request_id": "good", "truth": 6}, timeout=30)
    assert wine.train("--from-feedback")["data"]["fresh_rows"] == 20
    late = wine.train("--from-feedback", "--since", "2100-01-01")
    assert late["error"]["code"] == "FEEDBACK_EMPTY"
