"""Which predictor answers for a model: the fastest that is proven equal to MLflow's wrapper.

Order: compiled trees, the library on a bare array, the wrapper's model on a frame made from the array. It measures
from how many rows on the library is faster than compiled trees. It knows no request.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from homeport.serving.scoring import native, proof, trees
from homeport.serving.scoring.signature import MatrixPlan
from homeport.serving.scoring.timing import seconds_of
from homeport.serving.scoring.upstream import Pyfunc

Matrix = NDArray[Any]
Predict = Callable[[Matrix], Any]
_T = TypeVar("_T")

_LIBRARIES = {"mlflow.xgboost": "xgboost", "mlflow.lightgbm": "lightgbm", "mlflow.sklearn": "sklearn"}
# Loaders of models that are mere arithmetic: they may be asked made-up rows.
_PURE = {"mlflow.onnx", "mlflow.pytorch", "mlflow.tensorflow", "mlflow.keras", "mlflow.catboost"}
# Compiled trees are never asked for more rows at once: their buffers grow with rows x trees.
_MOST_COMPILED_ROWS = 64

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Predictor:
    """What answers for a model.

    Args:
        name: "compiled trees", the library, or "pyfunc".
        predict: array -> prediction; None when the model takes no array.
        plan: how requests become that array; None without one.
        why: why nothing faster; empty when nothing was refused.
        matrices: rows that the model may be asked: those it was proven on.
        splits: whether an answer to several questions at once may be tried at all.
    """

    name: str
    predict: Predict | None
    plan: MatrixPlan | None
    why: str
    matrices: tuple[Matrix, ...] = ()
    splits: bool = False


def choose(pyfunc: Pyfunc, plan: MatrixPlan | None, example: Matrix | None) -> Predictor:
    """The fastest predictor that is proven; never raises for a model that MLflow can ask."""
    if plan is None or pyfunc.reshapes:
        return Predictor("pyfunc", None, None, _why_no_plan(pyfunc))
    library, raw = _raw(pyfunc)
    if raw is None:
        return _wrapped(pyfunc, plan, example)
    reasons: list[str] = []
    _attempt(reasons, "one thread", lambda: native.single_threaded(raw))
    compiled = _attempt(reasons, "compiled trees", lambda: _compile(library, raw, len(plan.names)))
    matrices = proof.batches(plan, example, () if compiled is None else compiled.thresholds)
    expected = proof.outcomes(lambda matrix: pyfunc.model.predict(plan.frame(matrix)), matrices)
    for name, predict in _candidates(pyfunc, plan, library, raw, reasons):
        complaint = proof.difference(predict, expected, matrices)
        if complaint:
            reasons.append(f"{name}: {complaint}")
            continue
        held = plan if name == library else replace(plan, indexed=False)
        chosen = Predictor(name, predict, held, "; ".join(reasons), tuple(matrices), splits=True)
        return chosen if compiled is None else _with_compiled(compiled, chosen, predict, expected)
    return Predictor("pyfunc", None, None, "; ".join(reasons))


def _wrapped(pyfunc: Pyfunc, plan: MatrixPlan, example: Matrix | None) -> Predictor:
    """The wrapper's model, given the very frame or tensor that upstream would make.

    Code of a user's own is asked nothing but its input example: what made-up rows would do there nobody knows.
    """
    pure = pyfunc.model.loader_module in _PURE
    rows = () if example is None else (example[:1], example)
    matrices = tuple(proof.batches(plan, example)) if pure else rows
    why = f"{pyfunc.model.loader_module}.{pyfunc.predict_name} is asked as upstream asks it"
    held = replace(plan, indexed=False)

    def predict(matrix: Matrix) -> Any:  # noqa: ANN401 - any model's answer
        return pyfunc.predict(plan.frame(matrix), None)

    return Predictor("pyfunc", predict, held, why, matrices, splits=pure)


def _with_compiled(compiled: trees.Compiled, library: Predictor, fallback: Predict, expected: list[Any]) -> Predictor:
    """Compiled trees for few rows and the library for many, if the trees are proven and ever faster."""

    def decided(matrix: Matrix) -> Any:  # noqa: ANN401 - any model's answer
        try:
            return compiled.predict(matrix)
        except trees.UndecidedError:
            return fallback(matrix)

    def piecewise(rows: int) -> Predict:
        return lambda matrix: np.concatenate([decided(matrix[i : i + rows]) for i in range(0, len(matrix), rows)])

    complaint = next(  # one row has a path of its own
        filter(None, (proof.difference(piecewise(n), expected, library.matrices) for n in (1, _MOST_COMPILED_ROWS))), ""
    )
    rows = 0 if complaint else _crossover(decided, fallback, library.matrices[0][:1])
    if rows == 0:
        reason = f"compiled trees: {complaint or f'equal, but slower than {library.name}'}"
        return replace(library, why="; ".join(filter(None, [library.why, reason])))
    answer = compiled.predict

    def predict(matrix: Matrix) -> Any:  # noqa: ANN401 - any model's answer
        if not 0 < len(matrix) <= rows:
            return fallback(matrix)
        try:
            return answer(matrix)
        except trees.UndecidedError:
            return fallback(matrix)

    return replace(library, name="compiled trees", predict=predict)


def _crossover(compiled: Predict, library: Predict, row: Matrix) -> int:
    """The most rows, a power of two, for which compiled trees are faster than the library."""
    rows = 0
    while (more := max(2 * rows, 1)) <= _MOST_COMPILED_ROWS:
        matrix = np.repeat(row, more, axis=0)
        if seconds_of(lambda m=matrix: compiled(m)) > seconds_of(lambda m=matrix: library(m)):  # type: ignore[misc] # bound now
            break
        rows = more
    return rows


def _candidates(
    pyfunc: Pyfunc,
    plan: MatrixPlan,
    library: str,
    raw: Any,  # noqa: ANN401 - any library's model
    reasons: list[str],
) -> Iterator[tuple[str, Predict]]:
    if raw is not None:
        makers: dict[str, Callable[[Any], Predict | None]] = {
            "xgboost": native.xgboost,
            "lightgbm": native.lightgbm,
            "sklearn": lambda model: native.sklearn(model, by_column=not plan.tensor),
        }
        bare = _attempt(reasons, library, lambda: makers[library](raw))
        if bare is not None:
            yield library, bare
    yield "pyfunc", lambda matrix: pyfunc.predict(plan.frame(matrix), None)


def _compile(library: str, raw: Any, columns: int) -> trees.Compiled | None:  # noqa: ANN401 - any library's model
    if raw is None:
        return None
    if library == "xgboost":
        return trees.from_xgboost(raw, columns)
    if library == "sklearn":
        return trees.from_sklearn(raw, columns)
    raise trees.NotCompiledError(f"models of {library} are not compiled")


def _attempt(reasons: list[str], name: str, make: Callable[[], _T]) -> _T | None:
    try:
        return make()
    except trees.NotCompiledError as refusal:
        reasons.append(f"{name}: {refusal}")
    except Exception as error:  # a library of another version: its model is served all the same
        log.warning("%s could not be made", name, exc_info=True)
        reasons.append(f"{name}: {type(error).__name__} while making it")
    return None


def _raw(pyfunc: Pyfunc) -> tuple[str, Any]:
    for loader, library in _LIBRARIES.items():
        raw = pyfunc.raw(loader)
        if raw is not None:
            return library, raw
    return "", None


def _why_no_plan(pyfunc: Pyfunc) -> str:
    if pyfunc.signature is None or pyfunc.input_schema is None:
        return "no array: the model has no signature"
    if pyfunc.reshapes:
        return "no array: the model has a type hint"
    if pyfunc.params_schema is not None:
        return "no array: the model takes parameters"
    return "no array: the signature is not numeric throughout"
