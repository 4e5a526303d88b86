"""Small models of every kind that is served, saved with MLflow's own `save_model`; no tracking server."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec

from homeport.training.options import PenguinOptions
from homeport.training.penguins import CATEGORIES, MEASUREMENTS, classifier, data_file

WINE = ["fixed acidity", "volatile acidity", "citric acid", "residual sugar", "chlorides", "free sulfur dioxide", "pH"]
GENERATOR = np.random.default_rng(3)
X = pd.DataFrame(np.round(GENERATOR.gamma(2.0, 2.0, (300, len(WINE))), 2), columns=WINE)
Y = X["pH"] * 2 - X["chlorides"] + np.sin(X["citric acid"])
LABELS = np.digitize(Y, [0.0, 4.0])

MIXED = Schema(
    [
        *(ColSpec(kind, kind) for kind in ("long", "integer", "double", "string", "boolean")),
        ColSpec("datetime", "when", required=False), ColSpec("float", "float", required=False),
    ]
)  # fmt: skip
PARAMS = ParamSchema([ParamSpec("factor", "double", 2.0), ParamSpec("names", "string", ["a"], shape=(-1,))])


class Echo(mlflow.pyfunc.PythonModel):  # type: ignore[misc] # mypy does not follow imports of mlflow
    """Says what it was given, so that every cast is seen."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        frame = model_input.copy()
        frame["types"] = [" ".join(str(t) for t in model_input.dtypes)] * len(frame)
        frame["params"] = [str(params)] * len(frame)
        return frame


class Given(mlflow.pyfunc.PythonModel):  # type: ignore[misc] # mypy does not follow imports of mlflow
    """Says what it was given, whatever it is."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        return {"type": type(model_input).__name__, "text": str(model_input), "params": str(params)}


class Recording(mlflow.pyfunc.PythonModel):  # type: ignore[misc] # mypy does not follow imports of mlflow
    """Remembers what it was asked, and answers with the row index."""

    seen: ClassVar[list[float]] = []

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        self.seen.extend(model_input["a"].tolist())
        return [str(i) for i in model_input.index]


class Hinted(mlflow.pyfunc.PythonModel):  # type: ignore[misc] # mypy does not follow imports of mlflow
    """Its signature comes from its type hint."""

    def predict(self, model_input: list[dict[str, int]], params: Any = None) -> list[int]:
        return [sum(item.values()) for item in model_input]


class Failing(mlflow.pyfunc.PythonModel):  # type: ignore[misc] # mypy does not follow imports of mlflow
    """Fails for every request above its input example."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        if model_input["a"].max() > 1:
            raise RuntimeError(f"secret {model_input['a'].max()}")
        return model_input["a"].to_numpy()


def _xgboost(path: str, **settings: Any) -> None:
    import xgboost

    model = xgboost.XGBRegressor(n_estimators=20, max_depth=4, n_jobs=1, **settings).fit(X, Y)
    mlflow.xgboost.save_model(
        model,
        path,
        signature=infer_signature(X, model.predict(X)),
        input_example=X.head(3),
        pip_requirements=["xgboost"],
    )


def _xgboost_classifier(path: str) -> None:
    import xgboost

    model = xgboost.XGBClassifier(n_estimators=5, max_depth=3, n_jobs=1).fit(X, LABELS)
    mlflow.xgboost.save_model(
        model,
        path,
        signature=infer_signature(X, model.predict(X)),
        input_example=X.head(3),
        pip_requirements=["xgboost"],
    )


def _booster(path: str, objective: str = "binary:logistic") -> None:
    import xgboost

    model = xgboost.train({"max_depth": 3, "nthread": 1, "objective": objective}, xgboost.DMatrix(X, LABELS > 0), 8)
    mlflow.xgboost.save_model(
        model, path, signature=infer_signature(X), input_example=X.head(3), pip_requirements=["xgboost"]
    )


def _lightgbm(path: str, classifier: bool = False) -> None:
    import lightgbm

    kind = lightgbm.LGBMClassifier if classifier else lightgbm.LGBMRegressor
    model = kind(n_estimators=10, num_leaves=7, n_jobs=1, verbose=-1).fit(X, LABELS if classifier else Y)
    mlflow.lightgbm.save_model(
        model,
        path,
        signature=infer_signature(X, model.predict(X)),
        input_example=X.head(3),
        pip_requirements=["lightgbm"],
    )


def _sklearn(path: str, model: Any, labels: Any = None, serialization: str = "pickle") -> None:
    model.fit(X, Y if labels is None else labels)
    mlflow.sklearn.save_model(
        model, path, signature=infer_signature(X, model.predict(X)), input_example=X.head(3),
        serialization_format=serialization, pip_requirements=["scikit-learn"],
    )  # fmt: skip


def _penguins(path: str) -> None:
    frame = pd.read_csv(data_file())
    features = frame[[*MEASUREMENTS, *CATEGORIES]]
    model = classifier(PenguinOptions()).fit(features, frame["species"])
    signature = infer_signature(features, pd.Series(model.predict(features), name="species", dtype="str"))
    mlflow.sklearn.save_model(
        model, path, signature=signature, input_example=features.head(5), serialization_format="skops",
        skops_trusted_types=["numpy.dtype"], pip_requirements=["scikit-learn", "skops"],
    )  # fmt: skip


def _tensor(path: str) -> None:
    from sklearn.linear_model import LinearRegression

    data = X.to_numpy()
    mlflow.sklearn.save_model(
        LinearRegression().fit(data, Y), path, signature=infer_signature(data, Y.to_numpy()), input_example=data[:3],
        serialization_format="pickle", pip_requirements=["scikit-learn"],
    )  # fmt: skip


def _onnx(path: str) -> None:
    import onnx
    from onnx import TensorProto, helper

    weights = helper.make_tensor("w", TensorProto.FLOAT, [2, 1], [0.5, -1.25])
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])], [weights],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    example = np.array([[1.0, 2.0]], dtype=np.float32)
    signature = ModelSignature(Schema([TensorSpec(np.dtype("float32"), (-1, 2))]))
    mlflow.onnx.save_model(model, path, signature=signature, input_example=example, pip_requirements=["onnxruntime"])


def _python(path: str, model: Any, signature: ModelSignature | None = None, example: Any = None) -> None:
    mlflow.pyfunc.save_model(
        path, python_model=model, signature=signature, input_example=example, pip_requirements=["mlflow"]
    )


def _many(kind: str) -> Any:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    forest = {"regressor": RandomForestRegressor, "classifier": RandomForestClassifier}[kind]
    return forest(n_estimators=30, max_depth=4, random_state=0, n_jobs=2)


def _linear() -> Any:
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LinearRegression())


def _boosting() -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(max_iter=20)


_ONE = ModelSignature(Schema([ColSpec("double", "a")]))
BUILDERS: dict[str, Callable[[str], None]] = {
    "xgboost": _xgboost,
    "xgboost with zero missing": lambda path: _xgboost(path, missing=0.0),
    "xgboost classifier": _xgboost_classifier,
    "xgboost booster": _booster,
    "xgboost margins": lambda path: _booster(path, "reg:squarederror"),
    "lightgbm": _lightgbm,
    "lightgbm classifier": lambda path: _lightgbm(path, classifier=True),
    "sklearn forest": lambda path: _sklearn(path, _many("regressor")),
    "sklearn labels": lambda path: _sklearn(path, _many("classifier"), np.array(["low", "middle", "high"])[LABELS]),
    "sklearn pipeline": lambda path: _sklearn(path, _linear(), serialization="skops"),
    "sklearn boosting": lambda path: _sklearn(path, _boosting()),
    "penguins": _penguins,
    "tensor": _tensor,
    "onnx": _onnx,
    "mixed": lambda path: _python(path, Echo(), ModelSignature(MIXED, params=PARAMS)),
    "no signature": lambda path: _python(path, Given()),
    "llm": lambda path: _python(path, Given(), ModelSignature(Schema([ColSpec("string", "prompt")]), params=PARAMS)),
    "hinted": lambda path: _python(path, Hinted(), example=[{"a": 1}]),
    "recording": lambda path: _python(path, Recording(), _ONE, pd.DataFrame({"a": [0.5]})),
    "failing": lambda path: _python(path, Failing(), _ONE, pd.DataFrame({"a": [0.5]})),
}


def saved(name: str, directory: Path) -> Path:
    """The directory of a saved model, made when it is first asked for."""
    path = directory / name.replace(" ", "-")
    if not path.exists():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            BUILDERS[name](str(path))
    return path
