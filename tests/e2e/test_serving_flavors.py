"""Any MLflow flavour: the served answer is the one that pyfunc gives for the same rows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.e2e.harness import Homeport
from tests.e2e.served import Models, Serving

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
FRAME = pd.DataFrame({"a": np.linspace(0, 1, 40), "b": np.linspace(5, -5, 40)})
TARGET = (FRAME["a"] * 3 + FRAME["b"] ** 2).to_numpy()


def _sklearn() -> tuple[Any, dict[str, Any]]:
    import mlflow
    from sklearn.ensemble import RandomForestRegressor

    model = RandomForestRegressor(10, random_state=0).fit(FRAME, TARGET)
    return mlflow.sklearn.log_model, {"sk_model": model, "serialization_format": "cloudpickle"}


def _xgboost() -> tuple[Any, dict[str, Any]]:
    import mlflow
    from xgboost import XGBRegressor

    return mlflow.xgboost.log_model, {"xgb_model": XGBRegressor(n_estimators=10).fit(FRAME, TARGET)}


def _lightgbm() -> tuple[Any, dict[str, Any]]:
    import lightgbm
    import mlflow

    model = lightgbm.LGBMRegressor(n_estimators=10, min_child_samples=2, verbose=-1).fit(FRAME, TARGET)
    return mlflow.lightgbm.log_model, {"lgb_model": model}


def _onnx() -> tuple[Any, dict[str, Any]]:
    import mlflow
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("ReduceSum", ["rows"], ["sums"], keepdims=0)],
        "sum",
        [helper.make_tensor_value_info("rows", TensorProto.DOUBLE, [None, 2])],
        [helper.make_tensor_value_info("sums", TensorProto.DOUBLE, [])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return mlflow.onnx.log_model, {"onnx_model": model, "input_example": FRAME.to_numpy()}


def _pyfunc() -> tuple[Any, dict[str, Any]]:
    import mlflow

    return mlflow.pyfunc.log_model, {"python_model": str(ROOT / "tests" / "e2e" / "summing_model.py")}


FLAVORS = {"sklearn": _sklearn, "xgboost": _xgboost, "lightgbm": _lightgbm, "onnx": _onnx, "pyfunc": _pyfunc}


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_model_of_the_flavour_answers_as_pyfunc_does(serving: Serving, tmp_path: Path, flavor: str) -> None:
    import mlflow

    models = Models(serving.platform.tracking_uri, tmp_path)
    log, arguments = FLAVORS[flavor]()
    name = f"flavor-{flavor}"
    version = models.log(name, log, **{"input_example": FRAME[:2], "pip_requirements": [], **arguments})
    models.point(name, "champion", version)
    serving.reload()
    mlflow.set_tracking_uri(serving.platform.tracking_uri)
    tensors = "onnx" in flavor
    asked = FRAME.to_numpy() if tensors else FRAME
    expected = mlflow.pyfunc.load_model(f"models:/{name}/{version}").predict(asked)
    split = FRAME.to_dict(orient="split")
    body = {"inputs": split["data"]} if tensors else {"dataframe_split": {k: split[k] for k in ("columns", "data")}}
    answer = serving.post(f"/models/{name}/invocations", body)
    assert answer.status == 200, answer.body
    assert _numbers(answer.body["predictions"]) == _numbers(expected)


def _numbers(predictions: Any) -> list[float]:
    if isinstance(predictions, dict):
        predictions = next(iter(predictions.values()))
    if isinstance(predictions, pd.DataFrame):
        predictions = predictions.to_numpy()
    if isinstance(predictions, list) and predictions and isinstance(predictions[0], dict):
        predictions = [next(iter(row.values())) for row in predictions]
    return [float(value) for value in np.asarray(predictions).ravel()]


@pytest.fixture
def torch_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Environments as HOMEPORT_SERVING_ENVS has them, with PyTorch and Homeport for the model `torch`."""
    where = tmp_path_factory.mktemp("environments")
    home = where / "torch"
    uv = str(Path(sys.executable).parent / "uv")
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(home)], check=True)
    python = str(home / "bin" / "python")
    lock = str(ROOT / "requirements" / "torch.txt")
    subprocess.run([uv, "pip", "install", "-q", "--python", python, "--require-hashes", "-r", lock], check=True)
    site = next((home / "lib").glob("python*")) / "site-packages"
    (site / "homeport.pth").write_text(f"{ROOT / 'src'}\n")
    return where


TORCH = """
import mlflow, torch, pandas as pd
from mlflow import MlflowClient
from mlflow.models import infer_signature
model = torch.nn.Linear(2, 1, dtype=torch.float64)
torch.nn.init.constant_(model.weight, 2.0)
torch.nn.init.constant_(model.bias, 1.0)
frame = pd.DataFrame({"a": [1.0, 0.0], "b": [2.0, 0.0]})
with torch.no_grad():
    answer = model(torch.tensor(frame.to_numpy())).numpy()
with mlflow.start_run():
    mlflow.pytorch.log_model(model, name="model", registered_model_name="torch", pip_requirements=[],
                             input_example=frame.to_numpy(), signature=infer_signature(frame.to_numpy(), answer))
MlflowClient().set_registered_model_alias("torch", "champion", 1)
"""


@pytest.mark.system
def test_a_pytorch_model_answers_from_an_environment_of_its_own(
    new_home: Callable[..., Homeport], torch_environment: Path
) -> None:
    home = new_home(HOMEPORT_SERVING_ENVS=str(torch_environment), HOMEPORT_SERVING_WORKERS="1")
    home.up()
    python = str(torch_environment / "torch" / "bin" / "python")
    done = subprocess.run(
        [python, "-W", "ignore", "-c", TORCH], env=home.env(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    served = Serving(home)
    served.serves("torch", "1", 120)
    answer = served.post("/models/torch/invocations", {"inputs": [[1.0, 2.0], [3.0, 4.0]]})
    assert answer.body == {"predictions": [[7.0], [15.0]]}
    assert served.models()["torch"]["isolated"]
