"""penguins: logistic regression of a penguin's species from its island, sex and four measurements.

The data come with the palmerpenguins package, so it needs no network. Runs, registry and champion it refuses to know;
it hands a `Job` to pipeline.py.
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
import pandas as pd
from mlflow.models import infer_signature
from mlflow.models.model import ModelInfo
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from homeport.errors import HomeportError
from homeport.training import plots
from homeport.training.datasets import datasets
from homeport.training.options import HELD_OUT, SPLIT_SEED, PenguinOptions
from homeport.training.outcome import Data
from homeport.training.pipeline import Fit, Job
from homeport.training.promotion import Better, Rule, Scores
from homeport.training.requirements import pins
from homeport.training.split import split

NAME = "penguins"
RULE = Rule((("accuracy", Better.HIGHER), ("log_loss", Better.LOWER)))

MEASUREMENTS = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]
CATEGORIES = ["island", "sex"]
TARGET = "species"

_EXAMPLE_ROWS = 5
# The one type in the saved pipeline that skops does not trust by itself: the dtype a fitted imputer remembers.
_TRUSTED = ["numpy.dtype"]


def data_file() -> Path:
    """The CSV file inside the installed palmerpenguins package, found without importing the package.

    Raises:
        HomeportError: the package, or the file in it, is missing.
    """
    spec = importlib.util.find_spec("palmerpenguins")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "data" / "penguins.csv"
        if path.is_file():
            return path
    raise HomeportError(
        "PENGUINS_MISSING", "the palmerpenguins package is not installed", fix="pip install palmerpenguins"
    )


def job(path: Path, options: PenguinOptions) -> Job:
    """The job of learning from the packaged file with these settings."""
    train, test = split(pd.read_csv(path)[[*MEASUREMENTS, *CATEGORIES, TARGET]], stratify=TARGET)
    return Job(
        name=NAME,
        rule=RULE,
        params={**asdict(options), "model": "logistic regression", "random_state": SPLIT_SEED, "test_size": HELD_OUT},
        datasets=datasets(NAME, (train, test), path, TARGET),
        data=Data(path, hashlib.sha256(path.read_bytes()).hexdigest(), len(train), len(test)),
        fit=lambda: _fit(train, test, options),
        score=lambda uri: _score_logged(uri, test),
    )


def classifier(options: PenguinOptions) -> Pipeline:
    """Impute, scale and encode, then logistic regression; takes a frame with `MEASUREMENTS` and `CATEGORIES`."""
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    categories = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    columns = ColumnTransformer([("measurements", numbers, MEASUREMENTS), ("categories", categories, CATEGORIES)])
    return make_pipeline(columns, LogisticRegression(C=options.c, max_iter=1000))


def _fit(train: pd.DataFrame, test: pd.DataFrame, options: PenguinOptions) -> Fit:
    features = train.drop(columns=TARGET)
    model = classifier(options).fit(features, train[TARGET])
    predicted = model.predict(test.drop(columns=TARGET))
    labels = [str(label) for label in model.classes_]
    counts = confusion_matrix(test[TARGET], predicted, labels=labels)
    return Fit(
        scores=_scores(model, test),
        curves={},
        figures={"plots/confusion_matrix.png": plots.confusion_matrix(counts, labels)},
        log=lambda: _log(model, features),
    )


def _scores(model: Pipeline, test: pd.DataFrame) -> Scores:
    features, species = test.drop(columns=TARGET), test[TARGET]
    predicted = model.predict(features)
    return {
        "accuracy": float(accuracy_score(species, predicted)),
        "macro_f1": float(f1_score(species, predicted, average="macro")),
        "log_loss": float(log_loss(species, model.predict_proba(features), labels=model.classes_)),
    }


def _log(model: Pipeline, features: pd.DataFrame) -> ModelInfo:
    info: ModelInfo = mlflow.sklearn.log_model(
        model,
        name="model",
        serialization_format="skops",
        skops_trusted_types=_TRUSTED,
        # As a named column: a bare array of text would be described as a tensor of objects.
        signature=infer_signature(features, pd.Series(model.predict(features), name=TARGET, dtype="str")),
        input_example=features.head(_EXAMPLE_ROWS),
        pip_requirements=pins("numpy", "pandas", "scikit-learn", "skops"),
    )
    return info


def _score_logged(uri: str, test: pd.DataFrame) -> Scores:
    # Without a directory of ours MLflow would leave the downloaded model behind in the temporary directory.
    with TemporaryDirectory(prefix="homeport-champion-") as directory:
        # Not through pyfunc: that flavour gives the species alone, and a tie is decided by the probabilities.
        return _scores(mlflow.sklearn.load_model(uri, dst_path=directory), test)
