"""Tree models of XGBoost and scikit-learn, compiled into a `Forest`: which ones, and how sums become predictions.

Whatever is not listed here is refused with a reason, and the library predicts. Equality is not assumed: proof.py shows
it for every model before it is used.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from homeport.serving.scoring.complete import CompleteForest
from homeport.serving.scoring.forest import Forest, TreeNodes
from homeport.serving.scoring.timing import seconds_of

Matrix = NDArray[Any]
Sums = Callable[[Matrix], Matrix]

_LESS_THAN = 2  # treelite's Operator.kLT
_XGBOOST_CLASSES = {"XGBRegressor", "XGBRFRegressor", "XGBClassifier", "XGBRFClassifier", "Booster"}
# Sums nearer than this to where the label changes go to the library: it decides after an exponential function.
_NEAR = 1e-4
# Below so many trees the filled up form is never faster.
_WORTH_FILLING = 64
_DRAWN = 64
# Some 64 MB.
_MOST_NODES = 1_000_000


class NotCompiledError(Exception):
    """Why a model is not compiled."""


class UndecidedError(Exception):
    """The compiled form cannot say what the library would answer to these rows."""


@dataclass(frozen=True, eq=False)
class Compiled:
    """A model's compiled form.

    Args:
        predict: [rows, columns] -> what the library's `predict` gives; raises UndecidedError.
        thresholds: for every column the values at which a tree splits.
    """

    predict: Callable[[Matrix], Matrix]
    thresholds: tuple[NDArray[np.float64], ...]


def from_xgboost(model: Any, columns: int) -> Compiled:  # noqa: ANN401 - xgboost is untyped
    """Compile a Booster or one of XGBoost's scikit-learn estimators.

    Raises:
        NotCompiledError: it holds something that is not compiled.
    """
    import treelite

    kind = type(model).__name__
    booster = model if kind == "Booster" else model.get_booster()
    _refuse_xgboost(model, kind, booster, columns)
    try:
        imported = treelite.frontend.from_xgboost(booster)
    except treelite.TreeliteError:
        raise NotCompiledError("treelite cannot import it, for example for its categories") from None
    header = imported.get_header_accessor()
    trees = [_treelite_nodes(imported.get_tree_accessor(i)) for i in range(imported.num_tree)]
    outputs = header.get_field("class_id").tolist()
    groups = [[tree for tree, output in zip(trees, outputs, strict=True) if output == o] for o in sorted(set(outputs))]
    transformation = str(header.get_field("postprocessor"))
    base = np.asarray(header.get_field("base_scores"), dtype=np.float32)
    if len({len(group) for group in groups}) != 1 or len(base) not in {1, len(groups)}:
        raise NotCompiledError("its outputs have different numbers of trees")
    sums = _fastest(groups, base[0] if len(base) == 1 else base, columns)
    return Compiled(_finish(sums, kind, transformation), _thresholds(trees, columns))


def from_sklearn(model: Any, columns: int) -> Compiled:  # noqa: ANN401 - scikit-learn is untyped
    """Compile one of scikit-learn's decision trees, forests or gradient boosting regressors.

    Raises:
        NotCompiledError: it is none of them, or has several outputs.
    """
    kind = type(model).__name__
    if not type(model).__module__.startswith("sklearn."):
        raise NotCompiledError(f"{kind} is not compiled")
    if getattr(model, "n_outputs_", 1) != 1 or model.n_features_in_ != columns:
        raise NotCompiledError("it has several outputs or another number of columns")
    if kind in {"DecisionTreeRegressor", "ExtraTreeRegressor"}:
        return _averaged([model], columns, None)
    if kind in {"RandomForestRegressor", "ExtraTreesRegressor"}:
        return _averaged(model.estimators_, columns, None)
    if kind in {"DecisionTreeClassifier", "ExtraTreeClassifier"}:
        return _averaged([model], columns, model.classes_)
    if kind in {"RandomForestClassifier", "ExtraTreesClassifier"}:
        return _averaged(model.estimators_, columns, model.classes_)
    if kind == "GradientBoostingRegressor":
        trees = [_sklearn_nodes(stage.tree_, 0, model.learning_rate) for stage in model.estimators_[:, 0]]
        sums = _fastest([trees], model._raw_predict_init(np.zeros((1, columns), dtype=np.float32))[0], columns)
        return Compiled(lambda matrix: _finite(sums, matrix)[:, 0], _thresholds(trees, columns))
    raise NotCompiledError(f"{kind} is not compiled")


def _refuse_xgboost(model: Any, kind: str, booster: Any, columns: int) -> None:  # noqa: ANN401 - xgboost is untyped
    if kind not in _XGBOOST_CLASSES:
        raise NotCompiledError(f"{kind} is not compiled")
    missing = getattr(model, "missing", np.nan)
    if missing is None or not np.isnan(missing):
        raise NotCompiledError("it has a missing value other than NaN")
    config = json.loads(booster.save_config())["learner"]
    if config["gradient_booster"]["name"] != "gbtree":
        raise NotCompiledError(f"its booster is {config['gradient_booster']['name']}, not gbtree")
    if int(config["learner_model_param"].get("num_target", 1)) != 1:
        raise NotCompiledError("it has several outputs")
    if booster.num_features() != columns:
        raise NotCompiledError("it has another number of columns than its signature")
    if kind != "Booster" and tuple(model._get_iteration_range(None)) not in {(0, 0), (0, booster.num_boosted_rounds())}:
        raise NotCompiledError("it stopped early and predicts with its best iteration only")


def _treelite_nodes(tree: Any) -> TreeNodes:  # noqa: ANN401 - treelite is untyped
    left = np.array(tree.get_field("cleft"), dtype=np.int64)
    inner = left >= 0
    if tree.get_field("has_categorical_split")[0]:
        raise NotCompiledError("it splits by categories")
    if (np.array(tree.get_field("cmp"))[inner] != _LESS_THAN).any():
        raise NotCompiledError("it compares otherwise than by 'less than'")
    threshold, values = np.array(tree.get_field("threshold")), np.array(tree.get_field("leaf_value"))
    if threshold.dtype != np.float32 or values.dtype != np.float32 or len(values) != len(left):
        raise NotCompiledError("its thresholds or leaves are not single float32 values")
    below = np.nextafter(threshold, np.float32(-np.inf))  # x < t of a float32 is x <= the float32 before t
    return TreeNodes(
        np.where(inner, left, -1), np.where(inner, np.array(tree.get_field("cright"), dtype=np.int64), -1),
        np.array(tree.get_field("split_index"), dtype=np.int64), below.astype(np.float64),
        np.array(tree.get_field("default_left")).astype(bool), values,
    )  # fmt: skip


def _sklearn_nodes(tree: Any, output: int, factor: float = 1.0) -> TreeNodes:  # noqa: ANN401 - scikit-learn is untyped
    nodes = tree.__getstate__()["nodes"]
    return TreeNodes(
        nodes["left_child"].astype(np.int64), nodes["right_child"].astype(np.int64), nodes["feature"].astype(np.int64),
        nodes["threshold"].copy(), nodes["missing_go_to_left"].astype(bool), factor * tree.value[:, 0, output],
    )  # fmt: skip


def _averaged(estimators: Sequence[Any], columns: int, classes: Any) -> Compiled:  # noqa: ANN401 - scikit-learn is untyped
    outputs = range(1 if classes is None else len(classes))
    groups = [[_sklearn_nodes(e.tree_, output) for e in estimators] for output in outputs]
    sums = _fastest(groups, np.float64(0.0), columns)

    def predict(matrix: Matrix) -> Matrix:
        means = _finite(sums, matrix) / len(estimators)
        answer: Matrix = means[:, 0] if classes is None else classes.take(np.argmax(means, axis=1), axis=0)
        return answer

    return Compiled(predict, _thresholds(groups[0], columns))


def _fastest(groups: Sequence[Sequence[TreeNodes]], base: Any, columns: int) -> Sums:  # noqa: ANN401 - a number or several
    """The faster of the two forms for single rows that change, as requests do."""
    if sum(len(tree.left) for group in groups for tree in group) > _MOST_NODES:
        raise NotCompiledError(f"it has more than {_MOST_NODES:,} nodes")
    forest = Forest(groups, base, columns)
    if forest.trees < _WORTH_FILLING:
        return forest.sums
    try:
        complete = CompleteForest(groups, base, columns, single=True)
    except ValueError:
        return forest.sums
    thresholds = _thresholds([tree for group in groups for tree in group], columns)
    generator = np.random.default_rng(0)
    drawn = [generator.choice(found, _DRAWN) if len(found) else np.zeros(_DRAWN) for found in thresholds]
    rows = [row[None, :] for row in np.stack(drawn, axis=1)]

    def sums(matrix: Matrix) -> Matrix:
        # NaN is the one number that is not itself: then the form that knows missing values answers.
        flat = matrix.ravel()
        total = flat.dot(flat)
        return complete.sums(matrix) if total == total else forest.sums(matrix)  # noqa: PLR0124

    def cost(form: Sums) -> float:
        return seconds_of(lambda: [form(row) for row in rows])

    return sums if cost(sums) < cost(forest.sums) else forest.sums


def _finite(sums: Sums, matrix: Matrix) -> Matrix:
    """Sums for rows that scikit-learn would not refuse or treat as missing."""
    with np.errstate(over="ignore"):
        single = matrix.astype(np.float32)
    if not np.isfinite(single).all():
        raise UndecidedError
    return sums(single)


def _finish(sums: Sums, kind: str, transformation: str) -> Callable[[Matrix], Matrix]:
    """How sums become what XGBoost's `predict` gives."""
    if transformation == "identity" and kind == "Booster":
        return lambda matrix: _not_infinite(sums, matrix)[:, 0]
    if transformation == "identity" and not kind.endswith("Classifier"):
        return lambda matrix: sums(matrix)[:, 0]
    if transformation == "sigmoid" and kind.endswith("Classifier"):
        return lambda matrix: _binary(sums(matrix)[:, 0])
    if transformation == "softmax" and kind.endswith("Classifier"):
        return lambda matrix: _labels(sums(matrix))
    raise NotCompiledError(f"{kind} with the transformation {transformation} is not compiled")


def _not_infinite(sums: Sums, matrix: Matrix) -> Matrix:
    """Sums for rows that a DMatrix would not refuse."""
    with np.errstate(over="ignore"):
        single = matrix.astype(np.float32)
    if np.isinf(single).any():
        raise UndecidedError
    return sums(single)


def _binary(margins: Matrix) -> Matrix:
    if (np.abs(margins) < _NEAR).any():
        raise UndecidedError
    return (margins > 0).astype(np.int64)


def _labels(margins: Matrix) -> Matrix:
    best = np.sort(margins, axis=1)
    if (best[:, -1] - best[:, -2] < _NEAR).any():
        raise UndecidedError
    labels: Matrix = np.argmax(margins, axis=1)
    return labels


def _thresholds(trees: Sequence[TreeNodes], columns: int) -> tuple[NDArray[np.float64], ...]:
    feature = np.concatenate([tree.feature[tree.left >= 0] for tree in trees])
    threshold = np.concatenate([tree.threshold[tree.left >= 0] for tree in trees])
    return tuple(np.unique(threshold[feature == column]) for column in range(columns))
