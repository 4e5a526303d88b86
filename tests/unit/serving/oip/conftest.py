"""Small real models, loaded as the server loads them, and a way to ask them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import orjson
import pandas as pd
import pytest
import xgboost as xgb
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import Array, Object, Property
from sklearn.linear_model import LinearRegression

from homeport.serving import oip
from homeport.serving.scoring.scorer import Scorer
from homeport.serving.servable import Dialect, Request

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow 3.17 warns about its own type hints at import, and about none of ours
    import mlflow.pyfunc

    class Echo(mlflow.pyfunc.PythonModel):  # type: ignore[misc] # mlflow is untyped
        """Answers with what it was given, as JSON texts, so that tests can see it."""

        # Without type hints: MLflow would make a signature of them. It advises them in a warning that no filter stops.
        _skip_type_hint_validation = True

        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
            """Describe the input."""
            if isinstance(model_input, pd.DataFrame):
                said: dict[str, Any] = {str(name): [repr(v) for v in column] for name, column in model_input.items()}
            elif isinstance(model_input, dict):
                said = {name: f"{a.dtype}{a.shape}" for name, a in model_input.items()}
            else:
                said = {"array": f"{model_input.dtype}{model_input.shape}"}
            return [{"saw": said, "params": params or {}}]


COLUMNS = [f"column {place}" for place in range(4)]


class Asker:
    """A loaded model, asked in the protocol."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer

    def question(self, document: Any, tail: bytes = b"", *, strict: bool = False, **headers: str) -> Any:
        """The question of a request: a JSON value, or its text as bytes."""
        head = document if isinstance(document, bytes) else orjson.dumps(document)
        if tail:
            headers = {"inference-header-content-length": str(len(head)), **headers}
        request = Request(Dialect.OIP, "application/json", head + tail, headers, strict)
        return oip.parse(self.scorer, request)

    def ask(self, document: Any, tail: bytes = b"", *, strict: bool = False, **headers: str) -> Any:
        """The reply to a request."""
        question = self.question(document, tail, strict=strict, **headers)
        return oip.encode(self.scorer.description, question, self.scorer.predict([question])[0])

    def answer(self, document: Any, tail: bytes = b"", *, strict: bool = False) -> dict[str, Any]:
        """The JSON of a reply without binary outputs."""
        found: dict[str, Any] = orjson.loads(self.ask(document, tail, strict=strict).body)
        return found


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Asker]:
    """Saves a model with `save(path)` and loads it."""

    def load(save: Callable[[Path], None]) -> Asker:
        path = tmp_path_factory.mktemp("model") / "model"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what MLflow advises about input examples
            save(path)
        return Asker(Scorer.load(path, name="the model", version="3"))

    return load


@pytest.fixture(scope="session")
def echo(make: Callable[..., Asker]) -> Callable[[ModelSignature | None], Asker]:
    """The model that says what it got, with any signature."""

    def with_signature(signature: ModelSignature | None) -> Asker:
        return make(
            lambda path: mlflow.pyfunc.save_model(
                path, python_model=Echo(), signature=signature, pip_requirements=["mlflow"]
            )
        )

    return with_signature


@pytest.fixture(scope="session")
def trees(make: Callable[..., Asker]) -> Asker:
    """XGBoost on four double columns, as the wine model is."""
    random = np.random.default_rng(1)
    frame = pd.DataFrame(random.random((50, 4)), columns=COLUMNS)
    model = xgb.XGBRegressor(n_estimators=5, max_depth=3).fit(frame, frame[COLUMNS[0]] * 3)
    signature = infer_signature(frame, model.predict(frame))
    return make(
        lambda path: mlflow.xgboost.save_model(
            model, path, signature=signature, input_example=frame.head(2), model_format="json",
            pip_requirements=["mlflow", "xgboost"],
        )
    )  # fmt: skip


@pytest.fixture(scope="session")
def tensor(make: Callable[..., Asker]) -> Asker:
    """A linear model with the signature of one unnamed float32 tensor."""
    random = np.random.default_rng(1)
    data = random.random((20, 3), dtype=np.float32)
    model = LinearRegression().fit(data, data[:, :2] * 2)
    return make(
        lambda path: mlflow.sklearn.save_model(
            model, path, signature=infer_signature(data, model.predict(data)), serialization_format="cloudpickle",
            pip_requirements=["mlflow", "scikit-learn"],
        )
    )  # fmt: skip


MIXED = ModelSignature(
    inputs=Schema(
        [
            ColSpec(DataType.double, "amount"),
            ColSpec(DataType.float, "share"),
            ColSpec(DataType.integer, "count"),
            ColSpec(DataType.long, "total"),
            ColSpec(DataType.boolean, "flag"),
            ColSpec(DataType.string, "word"),
            ColSpec(DataType.binary, "blob"),
            ColSpec(DataType.datetime, "moment"),
            ColSpec(Array(DataType.double), "list"),
            ColSpec(Object([Property("key", DataType.long)]), "thing"),
            ColSpec(DataType.double, "maybe", required=False),
        ]
    ),
    params=ParamSchema([ParamSpec("limit", DataType.double, 0.5)]),
)


@pytest.fixture(scope="session")
def mixed(echo: Callable[[ModelSignature | None], Asker]) -> Asker:
    """The echo with a column of every type, one of them optional, and a parameter."""
    return echo(MIXED)


@pytest.fixture(scope="session")
def named_tensors(echo: Callable[[ModelSignature | None], Asker]) -> Asker:
    """The echo with two named tensors."""
    return echo(
        ModelSignature(
            inputs=Schema(
                [TensorSpec(np.dtype("float32"), (-1, 2, 2), "image"), TensorSpec(np.dtype("str"), (-1,), "label")]
            )
        )
    )


@pytest.fixture(scope="session")
def numbers(echo: Callable[[ModelSignature | None], Asker]) -> Asker:
    """The echo with an integer, a long, a float and a boolean column."""
    kinds = [DataType.integer, DataType.long, DataType.float, DataType.boolean]
    return echo(ModelSignature(inputs=Schema([ColSpec(kind, kind.name) for kind in kinds])))


@pytest.fixture(scope="session")
def unsigned(echo: Callable[[ModelSignature | None], Asker]) -> Asker:
    """The echo without a signature."""
    return echo(None)
