"""wine-quality: XGBoost regression of a white wine's quality from eleven physicochemical measurements.

Runs, registry and champion it refuses to know; it hands a `Job` to pipeline.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from tempfile import TemporaryDirectory

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from mlflow.models.model import ModelInfo
from numpy.typing import NDArray
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score
from xgboost import Booster, XGBRegressor
from xgboost.callback import TrainingCallback

from homeport.errors import HomeportError
from homeport.training import plots
from homeport.training.data import COLUMNS, TARGET, WineTable
from homeport.training.datasets import datasets, fresh_dataset
from homeport.training.feedback import Division, FreshRows, divide
from homeport.training.options import HELD_OUT, SPLIT_SEED, WineOptions
from homeport.training.outcome import Data
from homeport.training.pipeline import Fit, Job
from homeport.training.promotion import Better, Rule, Scores
from homeport.training.requirements import pins, xgboost_pins
from homeport.training.signals import HeldBack
from homeport.training.split import split

NAME = "wine-quality"
RULE = Rule((("rmse", Better.LOWER),))

_EXAMPLE_ROWS = 5
_FIXED = {"learning_rate": 0.05, "subsample": 0.8, "colsample_bytree": 0.8, "random_state": SPLIT_SEED}


def job(table: WineTable, options: WineOptions, url: str = "", fresh: FreshRows | None = None) -> Job:
    """The job of learning from a checked table with these settings.

    Args:
        table: the rows.
        options: XGBoost's settings.
        url: where the table's file was downloaded from; empty for a file of the user's own.
        fresh: rows from feedback to learn from and to score with, too.

    Raises:
        HomeportError: FEEDBACK_NOTHING_NEW.
    """
    train, test = split(_frame(table.values))
    inputs = datasets(NAME, (train, test), url or table.path, TARGET)
    params = {**asdict(options), **_FIXED, "test_size": HELD_OUT}
    fresh_rows = 0
    if fresh is not None:
        division = divide(fresh.values, train.to_numpy(), test.to_numpy())
        if not len(division.learn):
            raise _nothing_new(division)
        learn = _frame(division.learn)
        train, test = _joined(train, division.learn), _joined(test, division.held_out)
        inputs = {
            **inputs,
            "testing": datasets(NAME, (train, test), url or table.path, TARGET)["testing"],
            "fresh": fresh_dataset(NAME, learn, fresh.url, TARGET),
        }
        params |= {
            "fresh_rows": len(division.learn),
            "fresh_held_out": len(division.held_out),
            "fresh_left_out": len(division.known),
            "fresh_since": fresh.since or "the beginning",
        }
        fresh_rows = len(division.learn) + len(division.held_out)
    return Job(
        name=NAME,
        rule=RULE,
        params=params,
        datasets=inputs,
        # The file's digest, also with fresh rows: it says which rows of the file a champion may know, and of the fresh
        # ones none learns from what is held out.
        data=Data(table.path, table.digest, len(train), len(test), fresh_rows),
        fit=lambda: _fit(train, test, options),
        score=lambda uri: _score_logged(uri, test),
    )


def regression_scores(true: NDArray[np.float64], predicted: NDArray[np.float64]) -> Scores:
    """RMSE and MAE, in quality points, and R²; both arrays of shape (rows,)."""
    return {
        "rmse": float(np.sqrt(mean_squared_error(true, predicted))),
        "mae": float(mean_absolute_error(true, predicted)),
        "r2": float(r2_score(true, predicted)),
    }


def _fit(train: pd.DataFrame, test: pd.DataFrame, options: WineOptions) -> Fit:
    (x_train, y_train), (x_test, y_test) = _parts(train), _parts(test)
    with HeldBack() as signals:
        model = XGBRegressor(
            **asdict(options), **_FIXED, eval_metric="rmse", callbacks=[_AfterEveryRound(signals.check)]
        )
        model.fit(x_train, y_train, eval_set=[(x_train, y_train), (x_test, y_test)], verbose=False)
    model.set_params(callbacks=None)
    predicted = model.predict(x_test)
    rounds = model.evals_result()
    return Fit(
        scores=regression_scores(y_test.to_numpy(), predicted),
        curves={"train_rmse": rounds["validation_0"]["rmse"], "test_rmse": rounds["validation_1"]["rmse"]},
        figures={
            "plots/feature_importance.png": plots.feature_importance(
                dict(zip(x_train.columns, model.feature_importances_, strict=True))
            ),
            "plots/predicted_against_true.png": plots.predicted_against_true(y_test.to_numpy(), predicted),
        },
        log=lambda: _log(model, x_train),
    )


class _AfterEveryRound(TrainingCallback):  # type: ignore[misc] # mypy does not follow imports of xgboost
    """Calls a function after each boosting round."""

    def __init__(self, call: Callable[[], None]) -> None:
        super().__init__()
        self._call = call

    def after_iteration(self, model: Booster, epoch: int, evals_log: TrainingCallback.EvalsLog) -> bool:
        self._call()
        return False


def _log(model: XGBRegressor, x_train: pd.DataFrame) -> ModelInfo:
    example = x_train.head(_EXAMPLE_ROWS)
    info: ModelInfo = mlflow.xgboost.log_model(
        model,
        name="model",
        signature=infer_signature(x_train, model.predict(x_train)),
        input_example=example,
        pip_requirements=[*pins("numpy", "pandas", "scikit-learn"), *xgboost_pins()],
    )
    return info


def _score_logged(uri: str, test: pd.DataFrame) -> Scores:
    features, quality = _parts(test)
    # Without a directory of ours MLflow would leave the downloaded model behind in the temporary directory.
    with TemporaryDirectory(prefix="homeport-champion-") as directory:
        predicted = mlflow.pyfunc.load_model(uri, dst_path=directory).predict(features)
    return regression_scores(quality.to_numpy(), np.asarray(predicted, dtype=np.float64))


def _parts(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    return frame.drop(columns=TARGET), frame[TARGET]


def _frame(values: NDArray[np.float64]) -> pd.DataFrame:
    return pd.DataFrame(values, columns=list(COLUMNS))


def _joined(frame: pd.DataFrame, values: NDArray[np.float64]) -> pd.DataFrame:
    return pd.concat([frame, _frame(values)], ignore_index=True)


def _nothing_new(division: Division) -> HomeportError:
    return HomeportError(
        "FEEDBACK_NOTHING_NEW",
        "none of the labelled rows is one to learn from",
        evidence=(
            ("held out", f"{len(division.held_out):,} rows"),
            ("left out", f"{len(division.known):,} rows of wines that are held out in the file"),
        ),
        why="a fifth of the fresh rows is held out to score the model, and these few all are",
        fix="send feedback on more predictions, then train again",
    )
