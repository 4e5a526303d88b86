"""Compiled trees take over from the library only when they are proven, one row and many, and pay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from homeport.serving.scoring import proof, trees
from homeport.serving.scoring.predictor import Predictor, _with_compiled

Matrix = np.ndarray[Any, Any]

MATRICES = tuple(np.random.default_rng(rows).normal(size=(rows, 3)) for rows in (1, 5, 200))


def library(matrix: Matrix) -> Matrix:
    sums: Matrix = matrix.sum(axis=1)
    np.sort(np.random.default_rng(0).random(20_000))  # what a library's call costs
    return sums


def exact(matrix: Matrix) -> Matrix:
    sums: Matrix = matrix.sum(axis=1)
    return sums


def chosen(predict: proof.Predict) -> Predictor:
    known = Predictor("library", library, None, "", MATRICES, splits=True)
    return _with_compiled(trees.Compiled(predict, ()), known, library, proof.outcomes(library, MATRICES))


def test_compiled_trees_that_are_equal_and_faster_answer() -> None:
    found = chosen(exact)
    assert (found.name, found.why) == ("compiled trees", "")
    assert found.predict is not None
    for matrix in (*MATRICES, MATRICES[2][:0]):
        np.testing.assert_array_equal(found.predict(matrix), exact(matrix))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda m: exact(m) + (len(m) == 1),
        lambda m: exact(m) + (len(m) > 1),
        lambda m: exact(m).astype(np.float32),
        lambda m: exact(m)[:, None],
    ],
)
def test_compiled_trees_that_differ_for_one_row_or_for_many_never_answer(wrong: proof.Predict) -> None:
    found = chosen(wrong)
    assert found.name == "library"
    assert found.predict is library
    assert found.why.startswith("compiled trees: it differs")


def test_compiled_trees_that_are_slower_do_not_answer() -> None:
    found = chosen(lambda m: library(library(m)[:, None] * [[1.0, 0.0]]))
    assert found.name == "library"
    assert "slower than library" in found.why


def test_rows_that_compiled_trees_leave_open_are_answered_by_the_library() -> None:
    def open_for_negative(matrix: Matrix) -> Matrix:
        if (matrix < 0).any():
            raise trees.UndecidedError
        return exact(matrix)

    found = chosen(open_for_negative)
    assert found.predict is not None
    for matrix in MATRICES:
        np.testing.assert_array_equal(found.predict(matrix), exact(matrix))
