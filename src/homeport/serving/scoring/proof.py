"""Whether a predictor answers exactly what MLflow's wrapper answers: same type, dtype, shape and bits, same failures.

It compares on the input example and on generated rows: around the example, extremes, missing values, and at every
threshold of a tree model, just below and just above it. It knows no library.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from homeport.serving.scoring.signature import MatrixPlan

Matrix = NDArray[Any]
Predict = Callable[[Matrix], Any]

_SEED = 20_261_121
_AROUND = 200
# More rows than this are not tried at thresholds; models with more are tried at a seeded choice of them.
_AT_THRESHOLDS = 3_000
_SINGLES = 12
_RAISED = ("raised",)
_INT32, _INT53 = 2**31 - 1, 2**53 - 1
_EXTREMES = {
    "double": (0.0, -0.0, 1e-300, -1e-300, 1e-40, 1e30, -1e30, 1e39, -1e39, 1e300, -1e300),
    "float": (0.0, -0.0, 1e-40, -1e-40, 1e30, -1e30, 3.4e38, -3.4e38),
    "integer": (0, 1, -1, _INT32, -_INT32),
    "long": (0, 1, -1, _INT32 + 1, -_INT32 - 2, _INT53, -_INT53),
    "boolean": (0, 1),
}


def batches(plan: MatrixPlan, example: Matrix | None, thresholds: Sequence[NDArray[np.float64]] = ()) -> list[Matrix]:
    """The arrays to compare on: the example and its rows one by one, then generated ones, ordinary rows first."""
    generator = np.random.default_rng(_SEED)
    centre = np.ones((1, len(plan.names))) if example is None else example.astype(np.float64)
    centre = centre[np.isfinite(centre).all(axis=1)] if np.isfinite(centre).all(axis=1).any() else np.ones_like(centre)
    found = [] if example is None else [example, *(example[i : i + 1] for i in range(min(len(example), _SINGLES)))]
    around = _around(plan, centre, generator)
    found += [around, *(around[i : i + 1] for i in range(_SINGLES))]
    if thresholds:
        at = _at(thresholds, around, generator)
        found += [_typed(plan, at), *(_typed(plan, at[i : i + 1]) for i in range(_SINGLES))]
    extremes = _columnwise(around, [np.array(_EXTREMES[kind], dtype=np.float64) for kind in plan.types], generator)
    found += [extremes.astype(plan.dtype), *(extremes[i : i + 1].astype(plan.dtype) for i in range(len(extremes)))]
    if set(plan.types) <= {"double", "float"}:
        missing = around.astype(plan.dtype)
        missing[generator.random(missing.shape) < 0.3] = np.nan  # noqa: PLR2004 - a share
        found += [missing, missing[:1], np.full_like(missing[:1], np.nan)]
    return found


def outcomes(predict: Predict, matrices: Sequence[Matrix]) -> list[Any]:
    """What a predictor does with each array: its answer or that it raised, and the warnings users would see."""
    return [_outcome(predict, matrix) for matrix in matrices]


def difference(predict: Predict, expected: Sequence[Any], matrices: Sequence[Matrix]) -> str:
    """Where a predictor first does otherwise than expected, in words; empty when it does not."""
    for number, (outcome, matrix) in enumerate(zip(expected, matrices, strict=True)):
        found = _outcome(predict, matrix)
        if not same(outcome, found):
            how = "raises where the model answers" if raised(found[0]) else "differs from the model"
            return f"it {how} on proof batch {number} of {len(matrices)} ({len(matrix)} rows)"
    return ""


def same(expected: Any, found: Any) -> bool:  # noqa: ANN401 - any model's answer
    """Whether two predictions are equal in type, dtype, shape and every bit that JSON can show."""
    import pandas as pd

    if type(expected) is not type(found):
        return False
    if isinstance(expected, np.ndarray):
        if expected.dtype != found.dtype or expected.shape != found.shape:
            return False
        return bool(np.array_equal(expected, found, equal_nan=expected.dtype.kind in "fc"))
    if isinstance(expected, (pd.DataFrame, pd.Series)):
        return bool(expected.equals(found))
    if isinstance(expected, dict):
        return list(expected) == list(found) and all(same(expected[key], found[key]) for key in expected)
    if isinstance(expected, (list, tuple)):
        return len(expected) == len(found) and all(same(a, b) for a, b in zip(expected, found, strict=True))
    return bool(expected == found or (expected != expected and found != found))  # noqa: PLR0124 - NaN


def raised(answer: Any) -> bool:  # noqa: ANN401 - any model's answer
    """Whether an outcome's answer is that the predictor raised."""
    return answer is _RAISED


def _outcome(predict: Predict, matrix: Matrix) -> Any:  # noqa: ANN401 - any model's answer
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            answer = predict(matrix.copy())
        except Exception:
            # Libraries raise different subclasses for the same complaint; what counts is that both refuse.
            answer = _RAISED
    warned = {w.category.__name__ for w in caught if issubclass(w.category, UserWarning)}
    return [answer, sorted(warned)]


def _around(plan: MatrixPlan, centre: Matrix, generator: np.random.Generator) -> Matrix:
    rows = centre[generator.integers(0, len(centre), _AROUND)]
    scale = np.maximum(np.abs(rows), 1.0)
    rows = rows + scale * generator.normal(0.0, 0.5, rows.shape)
    flips = generator.random(rows.shape)
    rows = np.where(flips < 0.1, -rows, np.where(flips < 0.2, 0.0, rows))  # noqa: PLR2004 - shares
    return _typed(plan, rows).astype(np.float64)


def _at(thresholds: Sequence[NDArray[np.float64]], rows: Matrix, generator: np.random.Generator) -> Matrix:
    """Rows with every column at one of its thresholds, a float32 or a float64 step away, or as in the given rows."""
    values = []
    for column, found in enumerate(thresholds):
        single = found.astype(np.float32)
        steps = [single, np.nextafter(single, np.float32(np.inf)), np.nextafter(single, np.float32(-np.inf))]
        near = [
            found,
            np.nextafter(found, np.inf),
            np.nextafter(found, -np.inf),
            found * (1 + 1e-9),
            found * (1 - 1e-9),
        ]
        values.append(np.concatenate([rows[:8, column], *(s.astype(np.float64) for s in steps), *near]))
    return _columnwise(rows, values, generator)


def _columnwise(rows: Matrix, values: Sequence[Matrix], generator: np.random.Generator) -> Matrix:
    """Rows that show every given value of every column at least once, or a seeded choice of them."""
    height = min(max(len(v) for v in values), _AT_THRESHOLDS)
    columns = []
    for column in values:
        shuffled = generator.permutation(column)[:height]
        filling = generator.choice(column, height - len(shuffled))
        columns.append(np.concatenate([shuffled, filling]))
    return np.stack(columns, axis=1)


def _typed(plan: MatrixPlan, rows: Matrix) -> Matrix:
    """The same rows with values that the columns' types can hold."""
    rows = rows.copy()
    for column, kind in enumerate(plan.types):
        if kind == "boolean":
            rows[:, column] = rows[:, column] > 0.5  # noqa: PLR2004 - the middle
        elif kind in {"integer", "long"}:
            rows[:, column] = np.clip(np.rint(rows[:, column]), -_INT32, _INT32) + 0.0
        elif kind == "float":
            rows[:, column] = rows[:, column].astype(np.float32)
    return rows.astype(plan.dtype)
