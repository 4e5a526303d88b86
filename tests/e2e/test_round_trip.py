"""The program behind `helm test`, against a whole platform: all the way, or it says where not; nothing is left."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import requests

from tests.e2e.harness import Homeport

pytestmark = pytest.mark.slow
TRIP = ("run", "--", "python", "-m", "homeport.operations.round_trip")
STEPS = ("log a run", "keep an artifact", "register a model", "point an alias", "have it served", "predict")
_LEFT = """
from mlflow import MlflowClient
client = MlflowClient()
print([e.name for e in client.search_experiments()] + [m.name for m in client.search_registered_models()])
"""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Homeport]:
    """A platform where clients must log in, driven with the training account, as the chart does."""
    with Homeport(tmp_path_factory.mktemp("trip") / "home", {"HOMEPORT_AUTH": "basic"}) as home:
        home.up()
        yield home


def as_training(home: Homeport) -> dict[str, str]:
    password = (home.home / "secrets" / "training-password").read_text().strip()
    return {"MLFLOW_TRACKING_USERNAME": "homeport-training", "MLFLOW_TRACKING_PASSWORD": password}


def run_as_training(home: Homeport, *args: str, **environ: str) -> tuple[int, str]:
    """`homeport run` logs the administrator in; the program is told otherwise by env."""
    told = [f"{name}={value}" for name, value in {**as_training(home), **environ}.items()]
    done = home.run("run", "--", "env", *told, *args)
    return done.returncode, done.stdout + done.stderr


def test_the_account_of_training_goes_all_the_way_and_leaves_nothing(guarded: Homeport) -> None:
    code, said = run_as_training(guarded, "python", "-m", "homeport.operations.round_trip")

    assert code == 0, said
    assert [found for found in STEPS if f"ok  {found}" in said] == list(STEPS)
    assert "nothing is left of it" in said
    assert "homeport-round-trip" not in guarded.ok("run", "--", "python", "-W", "ignore", "-c", _LEFT)
    env = guarded.env()
    key = {"X-API-Key": env["HOMEPORT_SERVING_KEY"]}
    status = requests.get(env["HOMEPORT_SERVING_URL"] + "/status", headers=key, timeout=60).json()
    assert not [row for row in status["models"] if "round-trip" in row["name"] and row["state"] != "unloaded"]


def test_it_leaves_no_file_in_the_store(guarded: Homeport) -> None:
    store = guarded.home / "data" / "objectstore"
    before = {path for path in store.rglob("*") if path.is_file()}

    assert run_as_training(guarded, "python", "-m", "homeport.operations.round_trip")[0] == 0

    assert {path for path in store.rglob("*") if path.is_file()} - before == set()


@pytest.mark.parametrize(
    ("environ", "step", "evidence"),
    [
        ({"MLFLOW_TRACKING_PASSWORD": "not-the-password"}, "log a run", "401"),
        ({"HOMEPORT_SERVING_KEY": "not-the-key-of-serving", "HOMEPORT_WAIT_SECONDS": "2"}, "have it served", "401"),
        ({"HOMEPORT_SERVING_URL": "http://127.0.0.1:9", "HOMEPORT_WAIT_SECONDS": "2"}, "have it served", "refused"),
    ],
)
def test_it_says_which_step_failed_and_by_what(
    guarded: Homeport, environ: dict[str, str], step: str, evidence: str
) -> None:
    code, said = run_as_training(guarded, "python", "-m", "homeport.operations.round_trip", **environ)

    assert code == 1, said
    assert f"the round trip failed: {step}" in said
    assert evidence in said
    assert re.search(r"fix +the log of (tracking|serving) says more", said)
    assert "ROUND_TRIP_FAILED" in said
    assert "Traceback" not in said
