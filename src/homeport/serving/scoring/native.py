"""A library's own predictor on a bare array, one thread a call: what lies between compiled trees and MLflow's wrapper.

Equality with the wrapper is proof.py's business. Requests and signatures it refuses to know.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[Any]


def single_threaded(model: Any) -> None:  # noqa: ANN401 - a model of any library
    """Make a loaded model use one thread a call: requests run side by side, in threads and in processes."""
    kind = type(model)
    if kind.__module__.startswith("xgboost"):
        booster = model if kind.__name__ == "Booster" else model.get_booster()
        booster.set_param({"nthread": 1})
        if kind.__name__ != "Booster":
            model.n_jobs = 1
    elif kind.__module__.startswith("lightgbm"):
        if kind.__name__ != "Booster":
            model.n_jobs = 1
    elif hasattr(model, "get_params") and hasattr(model, "set_params"):
        jobs = [name for name in model.get_params(deep=True) if name == "n_jobs" or name.endswith("__n_jobs")]
        for name in jobs:
            model.set_params(**{name: 1})


def xgboost(model: Any) -> Callable[[Matrix], Any]:  # noqa: ANN401 - xgboost is untyped
    """`Booster.inplace_predict` for a Booster or an estimator of XGBoost."""
    if type(model).__name__ == "Booster":
        return lambda matrix: _booster(model, matrix)
    if not type(model).__name__.endswith("Regressor"):
        return lambda matrix: model.predict(matrix, validate_features=False)
    booster, rounds, missing = model.get_booster(), model._get_iteration_range(None), model.missing

    def predict(matrix: Matrix) -> Any:  # noqa: ANN401 - xgboost is untyped
        return booster.inplace_predict(matrix, iteration_range=rounds, missing=missing, validate_features=False)

    return predict


def lightgbm(model: Any) -> Callable[[Matrix], Any] | None:  # noqa: ANN401 - lightgbm is untyped
    """`Booster.predict` for a Booster or a regressor; None for what maps its output to labels."""
    kind = type(model).__name__
    if kind == "Booster":
        return lambda matrix: model.predict(matrix, num_threads=1)
    if kind != "LGBMRegressor":
        return None
    booster = model.booster_
    return lambda matrix: booster.predict(matrix, num_threads=1)


def sklearn(model: Any, *, by_column: bool) -> Callable[[Matrix], Any]:  # noqa: ANN401 - scikit-learn is untyped
    """`predict` of an estimator that has forgotten its columns' names, so that it takes arrays without a warning.

    Args:
        model: the estimator.
        by_column: whether it was to get a frame: its columns lie one after the other, and sums depend on that.
    """
    predict: Callable[[Matrix], Any] = _nameless(model).predict
    return (lambda matrix: predict(np.asfortranarray(matrix))) if by_column else predict


def _booster(model: Any, matrix: Matrix) -> Any:  # noqa: ANN401 - xgboost is untyped
    """As the wrapper, which makes a DMatrix: that refuses infinite values, `inplace_predict` does not."""
    with np.errstate(over="ignore"):
        single = matrix.astype(np.float32)
    if np.isinf(single).any():
        from xgboost import DMatrix

        return model.predict(DMatrix(matrix), validate_features=False)
    return model.inplace_predict(single, validate_features=False)


def _nameless(model: Any) -> Any:  # noqa: ANN401 - scikit-learn is untyped
    twin = copy.copy(model)
    vars(twin).pop("feature_names_in_", None)
    if hasattr(twin, "steps"):
        twin.steps = [(name, _nameless(step) if hasattr(step, "__dict__") else step) for name, step in twin.steps]
    return twin
