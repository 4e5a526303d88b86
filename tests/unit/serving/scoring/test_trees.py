"""Compiled trees against the libraries they come from: every bit, every edge of a threshold, every thread."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import xgboost
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from homeport.serving.scoring import trees
from homeport.serving.scoring.complete import CompleteForest
from homeport.serving.scoring.forest import Forest, TreeNodes

COLUMNS = 5
GENERATOR = np.random.default_rng(7)
X = np.round(GENERATOR.normal(size=(400, COLUMNS)), 2)
Y = X[:, 0] * 2 + np.sin(3 * X[:, 1]) + X[:, 2] * X[:, 3]
LABELS = np.digitize(Y, [-1.0, 1.0])

Matrix = np.ndarray[Any, Any]


def at_thresholds(compiled: trees.Compiled) -> Matrix:
    """Every threshold and the numbers just beside it, in rows that are otherwise ordinary."""
    rows: list[Matrix] = []
    for column, found in enumerate(compiled.thresholds):
        for value in found[:40]:
            for near in (
                value,
                np.nextafter(np.float32(value), np.float32(9)),
                np.nextafter(value, 9),
                np.nextafter(value, -9),
            ):
                row = X[len(rows) % len(X)].copy()
                row[column] = near
                rows.append(row)
    return np.array(rows)


def with_missing() -> Matrix:
    rows = X[:50].copy()
    rows[GENERATOR.random(rows.shape) < 0.4] = np.nan
    return rows


def equal(compiled: trees.Compiled, predict: Any, matrix: Matrix) -> None:
    together, one_by_one = compiled.predict(matrix), [compiled.predict(row[None, :]) for row in matrix]
    expected = predict(matrix)
    for found in (together, np.concatenate(one_by_one)):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


XGBOOST = {
    "regression": xgboost.XGBRegressor(n_jobs=1, n_estimators=30, max_depth=4),
    "many": xgboost.XGBRegressor(n_jobs=1, n_estimators=120, max_depth=5, learning_rate=0.1),
    "stump": xgboost.XGBRegressor(n_jobs=1, n_estimators=1, max_depth=1),
    "leaf": xgboost.XGBRegressor(n_jobs=1, n_estimators=2, max_depth=1, gamma=1e9),
    "absolute error": xgboost.XGBRegressor(n_jobs=1, n_estimators=10, objective="reg:absoluteerror"),
    "random forest": xgboost.XGBRFRegressor(n_jobs=1, n_estimators=20, max_depth=4),
    "leafwise": xgboost.XGBRegressor(n_jobs=1, n_estimators=10, grow_policy="lossguide", max_leaves=9),
}


@pytest.mark.parametrize("name", sorted(XGBOOST))
def test_xgboost_regression_is_equal_in_every_bit(name: str) -> None:
    model = XGBOOST[name].fit(X, Y)
    compiled = trees.from_xgboost(model, COLUMNS)
    extremes = np.array([[v] * COLUMNS for v in (0.0, -0.0, 1e-45, 1e39, -1e39, np.inf, -np.inf, np.nan)])
    for matrix in (X, with_missing(), extremes, at_thresholds(compiled) if name != "leaf" else X[:1]):
        equal(compiled, model.predict, matrix)


def test_a_booster_is_compiled_as_well() -> None:
    booster = xgboost.train({"max_depth": 4}, xgboost.DMatrix(X, Y), 20)
    equal(trees.from_xgboost(booster, COLUMNS), booster.inplace_predict, X)


@pytest.mark.parametrize("classes", [2, 3])
def test_xgboost_classification_gives_the_same_labels_or_leaves_them_to_the_library(classes: int) -> None:
    model = xgboost.XGBClassifier(n_jobs=1, n_estimators=10, max_depth=3).fit(X, np.minimum(LABELS, classes - 1))
    compiled = trees.from_xgboost(model, COLUMNS)
    equal(compiled, model.predict, X)
    equal(compiled, model.predict, with_missing())


def test_labels_on_the_edge_are_left_to_the_library() -> None:
    balanced = xgboost.XGBClassifier(n_jobs=1, n_estimators=2, max_depth=1, gamma=1e9, base_score=0.5).fit(
        X, np.arange(len(X)) % 2
    )
    with pytest.raises(trees.UndecidedError):
        trees.from_xgboost(balanced, COLUMNS).predict(X[:1])


def refused_models() -> dict[str, Any]:
    early = xgboost.XGBRegressor(n_jobs=1, n_estimators=200, early_stopping_rounds=1, learning_rate=1.0)
    early.fit(X[:200], Y[:200], eval_set=[(X[200:], Y[200:])], verbose=False)
    return {
        "dart": xgboost.XGBRegressor(n_jobs=1, n_estimators=3, booster="dart").fit(X, Y),
        "gblinear": xgboost.XGBRegressor(n_jobs=1, n_estimators=3, booster="gblinear").fit(X, Y),
        "missing value": xgboost.XGBRegressor(n_jobs=1, n_estimators=3, missing=0.0).fit(X, Y),
        "stopped early": early,
        "sigmoid": xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(X, LABELS > 1), 3),
        "exponential": xgboost.XGBRegressor(n_jobs=1, n_estimators=3, objective="count:poisson").fit(X, np.abs(Y)),
        "several outputs": xgboost.XGBRegressor(n_jobs=1, n_estimators=3).fit(X, np.stack([Y, Y], axis=1)),
        "ranker": xgboost.XGBRanker(n_estimators=3).fit(X, LABELS, group=[len(X)]),
    }


def test_what_is_not_known_to_be_equal_is_refused_with_a_reason() -> None:
    for name, model in refused_models().items():
        with pytest.raises(trees.NotCompiledError) as refused:
            trees.from_xgboost(model, COLUMNS)
        assert str(refused.value), name


def test_categorical_splits_are_refused() -> None:
    import pandas as pd

    frame = pd.DataFrame({"a": pd.Categorical(LABELS), "b": X[:, 1]})
    model = xgboost.XGBRegressor(n_jobs=1, n_estimators=3, enable_categorical=True, max_cat_to_onehot=1).fit(frame, Y)
    with pytest.raises(trees.NotCompiledError):
        trees.from_xgboost(model, 2)


SKLEARN = {
    "tree": DecisionTreeRegressor(random_state=0),
    "forest": RandomForestRegressor(n_estimators=20, random_state=0),
    "extra": ExtraTreesRegressor(n_estimators=10, max_depth=6, random_state=0),
    "boosting": GradientBoostingRegressor(n_estimators=30, random_state=0),
    "shallow": RandomForestRegressor(n_estimators=80, max_depth=3, random_state=0),
}


@pytest.mark.parametrize("name", sorted(SKLEARN))
def test_scikit_learn_regression_is_equal_in_every_bit(name: str) -> None:
    model = SKLEARN[name].fit(X, Y)
    compiled = trees.from_sklearn(model, COLUMNS)
    equal(compiled, model.predict, X)
    equal(compiled, model.predict, at_thresholds(compiled))


@pytest.mark.parametrize("model", [DecisionTreeClassifier(max_depth=4), RandomForestClassifier(n_estimators=15)])
@pytest.mark.parametrize("labels", [LABELS, np.array(["low", "middle", "high"])[LABELS]])
def test_scikit_learn_classification_gives_the_same_labels(model: Any, labels: Matrix) -> None:
    model = model.fit(X, labels)
    equal(trees.from_sklearn(model, COLUMNS), model.predict, X)


def test_rows_that_scikit_learn_refuses_are_left_to_it() -> None:
    compiled = trees.from_sklearn(DecisionTreeRegressor().fit(X, Y), COLUMNS)
    for value in (np.nan, np.inf, 1e39):
        with pytest.raises(trees.UndecidedError):
            compiled.predict(np.full((1, COLUMNS), value))


def test_other_estimators_are_refused() -> None:
    with pytest.raises(trees.NotCompiledError):
        trees.from_sklearn(HistGradientBoostingRegressor().fit(X, Y), COLUMNS)


def forest_of(model: Any, form: type[Any]) -> Any:
    import treelite

    imported = treelite.frontend.from_xgboost(model.get_booster())
    nodes = [trees._treelite_nodes(imported.get_tree_accessor(i)) for i in range(imported.num_tree)]
    base = np.asarray(imported.get_header_accessor().get_field("base_scores"), dtype=np.float32)[0]
    return form([nodes], base, COLUMNS, **({"single": True} if form is CompleteForest else {}))


@pytest.mark.parametrize("name", sorted(XGBOOST))
@pytest.mark.parametrize("form", [Forest, CompleteForest])
def test_both_forms_add_up_the_leaves_that_xgboost_adds_up(name: str, form: type[Any]) -> None:
    model = XGBOOST[name].fit(X, Y)
    forest = forest_of(model, form)
    edges = X[:1] if name == "leaf" else at_thresholds(trees.from_xgboost(model, COLUMNS))
    for matrix in (X, edges, np.array([[v] * COLUMNS for v in (0.0, -0.0, 1e-45, 1e39, -1e39, np.inf, -np.inf)])):
        expected = model.predict(matrix)
        np.testing.assert_array_equal(forest.sums(matrix)[:, 0], expected)
        np.testing.assert_array_equal([forest.sums(row[None, :])[0, 0] for row in matrix], expected)


def test_trees_too_deep_to_be_filled_up_are_refused_before_they_take_memory() -> None:
    nodes = np.arange(61)
    inner = (nodes % 2 == 0) & (nodes < 60)
    chain = TreeNodes(
        np.where(inner, nodes + 1, -1), np.where(inner, nodes + 2, -1), np.zeros(61, dtype=np.int64),
        np.zeros(61), np.zeros(61, dtype=bool), np.zeros(61, dtype=np.float32),
    )  # fmt: skip
    with pytest.raises(ValueError, match="too deep"):
        CompleteForest([[chain]], np.float64(0), 1, single=True)


@pytest.mark.parametrize("form", [Forest, CompleteForest])
def test_threads_do_not_see_each_others_rows(form: type[Any]) -> None:
    model = xgboost.XGBRegressor(n_jobs=1, n_estimators=100, max_depth=4).fit(X, Y)
    forest = forest_of(model, form)
    expected = model.predict(X)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: forest.sums(X[i % len(X)][None, :])[0, 0], range(2_000)))
    np.testing.assert_array_equal(found, np.resize(expected, 2_000))
