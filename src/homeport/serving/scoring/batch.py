"""Several waiting questions as one array: when that is proven equal and pays, and how the answer is split again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from homeport.serving.scoring import proof
from homeport.serving.scoring.timing import Costs

Matrix = NDArray[Any]
Predict = Callable[[Matrix], Any]

# A faster model has answered before a second request waits.
_WORTH_SECONDS = 0.001
_TOGETHER = 8


def coalesces(predict: Predict, matrices: Sequence[Matrix], costs: Costs) -> bool:
    """Whether one row costs over a millisecond, eight together less than half of eight, and every bit is the same."""
    if costs.seconds(1) < _WORTH_SECONDS or costs.seconds(_TOGETHER) >= _TOGETHER * costs.seconds(1) / 2:
        return False
    rows = [matrix for matrix in matrices if len(matrix) == 1]
    return all(_equal(predict, rows[i : i + _TOGETHER]) for i in range(0, len(rows), _TOGETHER))


def joined(predict: Predict, matrices: Sequence[Matrix]) -> list[Any]:
    """The answers to several arrays, asked as one.

    Raises:
        ValueError: the answer does not have a row for each row.
    """
    sizes = [len(matrix) for matrix in matrices]
    answer = predict(np.concatenate(matrices))
    if not hasattr(answer, "__len__") or len(answer) != sum(sizes):
        raise ValueError("the model does not answer row by row")
    ends = np.cumsum(sizes).tolist()
    by_place = answer.iloc if hasattr(answer, "iloc") else answer
    return [by_place[end - size : end] for size, end in zip(sizes, ends, strict=True)]


def _equal(predict: Predict, rows: Sequence[Matrix]) -> bool:
    answered = [
        (row, answer)
        for row, (answer, _) in zip(rows, proof.outcomes(predict, rows), strict=True)
        if not proof.raised(answer)
    ]
    try:
        together = joined(predict, [row for row, _ in answered]) if answered else []
    except Exception:
        return False
    return all(_same(answer, part) for (_, answer), part in zip(answered, together, strict=True))


def _same(single: Any, part: Any) -> bool:  # noqa: ANN401 - any model's answer
    reset = getattr(part, "reset_index", None)
    return proof.same(single, reset(drop=True) if reset is not None else part)
