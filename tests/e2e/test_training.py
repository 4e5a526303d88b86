"""Training on a real platform: what is kept of a run, who becomes champion, and how a run ends when it is stopped."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests.e2e.harness import Homeport

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
ENDLESS = "100000"  # boosting rounds; more than any test waits for
RMSE = 0.65  # quality points; the published models of this data stay below

KEPT = """
import json, sys
import mlflow
run_id = sys.argv[1]
client = mlflow.MlflowClient()
run = client.get_run(run_id)
model = mlflow.get_logged_model(run.outputs.model_outputs[0].model_id)
info = mlflow.models.get_model_info(model.model_uri)
print(json.dumps({
    "status": run.info.status,
    "params": run.data.params,
    "metrics": run.data.metrics,
    "rounds": [[m.step, m.value] for m in client.get_metric_history(run_id, "test_rmse")],
    "plots": [f.path for f in client.list_artifacts(run_id, "plots")],
    "inputs": {i.tags[0].value: json.loads(i.dataset.profile)["num_rows"] for i in run.inputs.dataset_inputs},
    "columns": info.signature.inputs.input_names(),
    "example": mlflow.artifacts.load_dict(f"{model.artifact_location}/input_example.json")["columns"],
    "model_metrics": {m.key: m.value for m in model.metrics},
}))
"""

SCORE = """
import json, sys
from pathlib import Path
import mlflow, numpy, pandas
from homeport.training.data import COLUMNS, TARGET, read_wine_table
from homeport.training.split import split
held_out = split(pandas.DataFrame(read_wine_table(Path(sys.argv[1])).values, columns=list(COLUMNS)))[1]
champion = mlflow.pyfunc.load_model("models:/wine-quality@champion")
error = champion.predict(held_out.drop(columns=TARGET)) - held_out[TARGET]
print(json.dumps({"rows": len(held_out), "rmse": float(numpy.sqrt((error**2).mean()))}))
"""

SPECIES = """
import json
import mlflow, pandas
champion = mlflow.pyfunc.load_model("models:/penguins@champion")
whole = {"island": "Biscoe", "sex": "male", "bill_length_mm": 50.0, "bill_depth_mm": 15.0,
         "flipper_length_mm": 222.0, "body_mass_g": 5500.0}
in_part = {"island": "Biscoe", "sex": None, "bill_length_mm": 50.0, "bill_depth_mm": 15.0,
           "flipper_length_mm": None, "body_mass_g": None}
print(json.dumps([str(champion.predict(pandas.DataFrame([row]))[0]) for row in (whole, in_part)]))
"""

LOSE_CHAMPION = """
import sys, mlflow
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
source = mlflow.MlflowClient().get_model_version_by_alias(sys.argv[1], "champion").source
get_artifact_repository(mlflow.get_logged_model(source.removeprefix("models:/")).artifact_location).delete_artifacts("model.ubj")
"""

NOTEBOOK = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=180, kernel_name="python3").execute()
"""


def _client(platform: Homeport, source: str, *arguments: str, **environ: str) -> str:
    """Python source run as a client that knows the tracking server's address and nothing else of the platform."""
    env = {**platform.env(), **environ}
    assert not [name for name in env if name.startswith("AWS_") or name == "MLFLOW_S3_ENDPOINT_URL"]
    done = subprocess.run(
        [sys.executable, "-c", source, *arguments], env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _train(platform: Homeport, *arguments: str) -> dict[str, Any]:
    outcome = json.loads(platform.ok("train", *arguments, "--json"))
    assert isinstance(outcome, dict)
    return outcome


def _mlflow(platform: Homeport) -> MlflowClient:
    """MLflow's client in this process, for what a test only looks up."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=(uri := platform.tracking_uri), registry_uri=uri)


def _champion(platform: Homeport, model: str) -> str:
    return str(_mlflow(platform).get_model_version_by_alias(model, "champion").version)


def _statuses(platform: Homeport, experiment: str) -> list[str]:
    client = _mlflow(platform)
    return [run.info.status for run in client.search_runs([client.get_experiment_by_name(experiment).experiment_id])]


def _new(name: str) -> str:
    return f"{name}-{uuid4().hex[:8]}"


def test_wine_quality_becomes_a_champion_that_anybody_can_load_through_the_tracking_server(
    platform: Homeport, wine_csv: Path
) -> None:
    outcome = _train(platform, "wine-quality", "--data", str(wine_csv))
    assert outcome["metrics"]["rmse"] < RMSE
    assert outcome["champion"]["version"] is not None

    loaded = json.loads(_client(platform, SCORE, str(wine_csv)))
    assert loaded["rows"] == outcome["data"]["test_rows"] == 980
    assert loaded["rmse"] < RMSE


def test_a_run_keeps_params_scores_every_round_plots_data_and_a_described_model(
    platform: Homeport, wine_csv: Path
) -> None:
    outcome = _train(platform, "wine-quality", "--data", str(wine_csv), "--n-estimators", "30", "--model", _new("kept"))
    kept = json.loads(_client(platform, KEPT, outcome["run"]["id"]))
    assert kept["status"] == "FINISHED"
    assert (kept["params"]["n_estimators"], kept["params"]["max_depth"]) == ("30", "8")
    assert {name: kept["metrics"][name] for name in outcome["metrics"]} == outcome["metrics"]
    assert kept["model_metrics"] == outcome["metrics"]
    assert [step for step, _ in kept["rounds"]] == list(range(1, 31))
    assert kept["rounds"][-1][1] == pytest.approx(outcome["metrics"]["rmse"], rel=1e-4)
    assert kept["plots"] == ["plots/feature_importance.png", "plots/predicted_against_true.png"]
    assert kept["inputs"] == {"training": 3918, "testing": 980}
    assert kept["columns"] == kept["example"]
    assert len(kept["columns"]) == 11


@pytest.mark.slow
def test_the_alias_stays_with_a_better_model_and_moves_to_a_better_one(platform: Homeport, wine_csv: Path) -> None:
    model = _new("contest")

    def train(rounds: int) -> dict[str, Any]:
        arguments = ("--data", str(wine_csv), "--model", model, "--n-estimators", str(rounds))
        outcome = _train(platform, "wine-quality", *arguments)
        assert _champion(platform, model) == outcome["champion"]["version"]
        return outcome

    first, worse, same, better = train(60), train(1), train(60), train(200)
    assert [o["model"]["version"] for o in (first, worse, same, better)] == ["1", "2", "3", "4"]
    assert [o["champion"]["version"] for o in (first, worse, same, better)] == ["1", "1", "1", "4"]
    assert [o["champion"]["reason"] for o in (first, worse, same, better)] == [
        "first", "not-better", "not-better", "better",
    ]  # fmt: skip
    assert worse["metrics"]["rmse"] > first["metrics"]["rmse"] > better["metrics"]["rmse"]
    # The champion was scored anew, on the same rows, and came out as it did on its own day.
    assert better["champion"]["previous"]["metrics"] == pytest.approx(first["metrics"])


@pytest.mark.slow
def test_a_champion_whose_file_is_gone_is_reported_and_stays_until_it_is_forced_out(
    platform: Homeport, wine_csv: Path
) -> None:
    model = _new("lost")
    arguments = ("wine-quality", "--data", str(wine_csv), "--model", model, "--n-estimators", "5")
    _train(platform, *arguments)
    _client(platform, LOSE_CHAMPION, model)

    said = platform.ok("train", *arguments)
    assert "version 1 stays: it could not be compared; --force-promote replaces it" in said
    assert "version 1: could not be scored: " in said
    assert _champion(platform, model) == "1"

    forced = _train(platform, *arguments, "--force-promote")
    assert (forced["champion"]["version"], forced["champion"]["reason"]) == ("3", "forced")
    assert _champion(platform, model) == "3"


@pytest.mark.slow
def test_a_champion_of_another_kind_is_reported_and_stays(platform: Homeport, wine_csv: Path) -> None:
    model = _new("mixed")
    _train(platform, "penguins", "--model", model)
    wine = _train(platform, "wine-quality", "--data", str(wine_csv), "--model", model, "--n-estimators", "5")
    assert (wine["champion"]["version"], wine["champion"]["reason"]) == ("1", "champion-unscorable")
    assert wine["champion"]["previous"]["problem"]


def test_penguins_are_told_apart_and_an_incomplete_row_is_answered(platform: Homeport) -> None:
    outcome = _train(platform, "penguins")
    assert outcome["metrics"]["accuracy"] > 0.95
    assert outcome["metrics"]["log_loss"] < 0.1
    assert json.loads(_client(platform, SPECIES)) == ["Gentoo", "Gentoo"]


@pytest.mark.slow
def test_an_equal_accuracy_with_a_higher_log_loss_does_not_take_the_alias(platform: Homeport) -> None:
    model = _new("penguins")
    first = _train(platform, "penguins", "--model", model)
    weaker = _train(platform, "penguins", "--model", model, "--c", "0.1")
    assert weaker["metrics"]["accuracy"] == first["metrics"]["accuracy"]
    assert weaker["metrics"]["log_loss"] > first["metrics"]["log_loss"]
    assert (weaker["champion"]["version"], weaker["champion"]["reason"]) == ("1", "not-better")


def test_the_terminal_carries_our_lines_alone(platform: Homeport) -> None:
    done = platform.run("train", "penguins", "--model", _new("quiet"), "--experiment", _new("quiet"))
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stderr.splitlines()] == ["loading", "fitting", "logging", "comparing"]
    assert done.stdout.startswith("penguins trained in ")
    assert "is the first" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_training_ends_its_run_as_killed_and_registers_nothing(
    platform: Homeport, wine_csv: Path, number: signal.Signals, code: int
) -> None:
    name = _new("stopped")
    arguments = ("--data", str(wine_csv), "--n-estimators", ENDLESS, "--experiment", name, "--model", name)
    # Where the tests run in the background their shell ignores Ctrl-C, and a child would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with platform.spawn("train", "wine-quality", *arguments) as training:
        try:
            assert training.stdout is not None
            fitting = any(line.startswith("fitting") for line in training.stdout)
            training.send_signal(number)
            said, _ = training.communicate(timeout=60)
        finally:
            training.kill()
    assert fitting
    assert training.returncode == code, said
    assert _statuses(platform, name) == ["KILLED"]
    assert _mlflow(platform).search_registered_models(f"name='{name}'") == []


@pytest.mark.slow
def test_a_training_that_fails_ends_its_run_as_failed_with_one_error(platform: Homeport) -> None:
    name = _new("failed")
    error = platform.refused("train", "penguins", "--experiment", name, "--model", "a/b", exit_code=1)
    assert error["code"] == "TRACKING_FAILED"
    assert "a/b" in error["text"]
    assert _statuses(platform, name) == ["FAILED"]


def test_the_quickstart_runs_as_it_is_printed(platform: Homeport) -> None:
    platform.ok("run", "--", "python", str(EXAMPLES / "quickstart.py"))
    assert "FINISHED" in _statuses(platform, "quickstart")


@pytest.mark.parametrize("name", ["wine_quality", "penguins"])
def test_a_notebook_runs_from_top_to_bottom(platform: Homeport, wine_csv: Path, name: str) -> None:
    _client(platform, NOTEBOOK, str(EXAMPLES / f"{name}.ipynb"), WINE_DATA=str(wine_csv))


@pytest.mark.parametrize("name", ["wine_quality", "penguins"])
def test_a_notebook_is_kept_without_outputs(name: str) -> None:
    cells = json.loads((EXAMPLES / f"{name}.ipynb").read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["outputs"] for cell in code] == [[]] * len(code)
    assert {cell["execution_count"] for cell in code} == {None}
