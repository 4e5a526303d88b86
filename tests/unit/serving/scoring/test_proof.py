"""The proof refuses what differs in any way, and coalescing and cost estimates hold what they promise."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema

from homeport.serving.scoring import proof
from homeport.serving.scoring.batch import coalesces, joined
from homeport.serving.scoring.signature import MatrixPlan
from homeport.serving.scoring.timing import Costs, seconds_of

Matrix = np.ndarray[Any, Any]


def plan_of(*kinds: str) -> MatrixPlan:
    columns = [ColSpec(kind, name) for kind, name in zip(kinds, "ab", strict=True)]
    plan = MatrixPlan.compile(ModelSignature(inputs=Schema(columns)))
    assert plan is not None
    return plan


PLAN, FLOATS = plan_of("double", "long"), plan_of("double", "double")


def model(matrix: Matrix) -> Matrix:
    if np.isnan(matrix).any():
        raise ValueError("NaN")
    sums: Matrix = matrix.sum(axis=1)
    return sums


def warns(matrix: Matrix) -> Matrix:
    warnings.warn("names", UserWarning, stacklevel=1)
    return model(matrix)


def threshold(matrix: Matrix) -> Matrix:
    return np.where(matrix[:, 0] <= 0.3, 1.0, 2.0)


def almost(matrix: Matrix) -> Matrix:
    return np.where(matrix[:, 0] < 0.3, 1.0, 2.0)


@pytest.mark.parametrize(
    "other",
    [
        lambda m: model(m).astype(np.float32), lambda m: model(m)[:, None], lambda m: model(m).tolist(),
        lambda m: np.nansum(m, axis=1), lambda m: model(m) * (1 + 1e-15), warns, lambda m: pd.Series(model(m)),
        lambda m: model(np.clip(m, -1e38, 1e38)),
    ],
)  # fmt: skip
def test_another_type_shape_bit_failure_or_warning_is_a_difference(other: proof.Predict) -> None:
    matrices = proof.batches(FLOATS, np.ones((2, 2)))
    expected = proof.outcomes(model, matrices)
    assert not proof.difference(model, expected, matrices)
    assert proof.difference(other, expected, matrices)


def test_a_threshold_that_is_compared_otherwise_is_a_difference() -> None:
    matrices = proof.batches(FLOATS, np.ones((2, 2)), (np.array([0.3]), np.array([])))
    assert proof.difference(almost, proof.outcomes(threshold, matrices), matrices)


def test_the_same_rows_are_tried_every_time_and_whole_columns_hold_whole_numbers() -> None:
    first, second = proof.batches(PLAN, None), proof.batches(PLAN, None)
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(first, second, strict=True))
    assert all((matrix[:, 1] == np.rint(matrix[:, 1])).all() for matrix in first)


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        (np.array([np.nan]), np.array([np.nan]), True), (np.array(["a"]), np.array(["a"]), True),
        (np.array(["a"], dtype=object), np.array(["a"]), False), ({"x": np.ones(2)}, {"x": np.ones(2)}, True),
        ({"x": np.ones(2)}, {"x": np.zeros(2)}, False), ([1, 2], [1, 2, 3], False), ("a", "a", True),
        (pd.DataFrame({"a": [1.0]}), pd.DataFrame({"a": [1]}), False),
        (float("nan"), float("nan"), True), (1, 1.0, False),
    ],
)  # fmt: skip
def test_sameness(a: Any, b: Any, equal: bool) -> None:
    assert proof.same(a, b) is equal


def test_questions_are_put_together_only_when_it_pays_and_every_bit_is_the_same() -> None:
    rows = [np.array([[float(i), 1.0]]) for i in range(16)]
    flat, steep, cheap = Costs(((1, 0.01), (8, 0.011))), Costs(((1, 0.01), (8, 0.08))), Costs(((1, 1e-4), (8, 1e-4)))
    assert coalesces(model, rows, flat)
    assert not coalesces(model, rows, steep)
    assert not coalesces(model, rows, cheap)
    assert not coalesces(lambda m: m.sum(axis=1) - m[:, 0].mean(), rows, flat)
    assert not coalesces(lambda m: m.sum(), rows, flat)


def test_rows_that_the_model_refuses_alone_do_not_count_against_the_others() -> None:
    rows = [np.ones((1, 2)), np.full((1, 2), np.nan)]
    assert coalesces(model, rows, Costs(((1, 0.01), (8, 0.011))))


@pytest.mark.parametrize("predict", [model, lambda m: pd.Series(model(m)), lambda m: model(m).tolist(), pd.DataFrame])
def test_a_joined_answer_is_split_by_the_questions_rows(predict: proof.Predict) -> None:
    questions = [np.full((n, 2), float(n)) for n in (1, 3, 2)]
    answers = joined(predict, questions)
    for question, answer in zip(questions, answers, strict=True):
        np.testing.assert_array_equal(np.asarray(answer), np.asarray(predict(question)))


def test_costs_are_a_line_between_and_beyond_what_was_measured_and_never_less_than_one_row() -> None:
    costs = Costs(((1, 1.0), (9, 9.0), (17, 9.0)))
    assert [costs.seconds(n) for n in (0, 1, 5, 9, 13, 100)] == [1.0, 1.0, 5.0, 9.0, 9.0, 9.0]
    assert Costs(((2, 1.0),)).seconds(10) == 5.0
    assert Costs(((1, 5.0), (8, 1.0))).seconds(100) == 5.0


def test_timing_calls_at_least_three_times() -> None:
    calls: list[int] = []
    assert seconds_of(lambda: calls.append(1), budget=0.0) < 1.0
    assert len(calls) == 3
