"""What a prediction costs by number of rows, measured once at load."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass


def seconds_of(call: Callable[[], object], budget: float = 0.01, most: int = 200) -> float:
    """Least time of one call; repeats it until the budget in seconds is spent, three times at least."""
    best, spent, calls = float("inf"), 0.0, 0
    while calls < most and (spent < budget or calls < 3):  # noqa: PLR2004 - the third call is the first warm one
        begin = time.perf_counter()
        call()
        took = time.perf_counter() - begin
        best, spent, calls = min(best, took), spent + took, calls + 1
        if took > 1.0:
            break
    return best


@dataclass(frozen=True)
class Costs:
    """Measured (rows, seconds), by rows; in between and beyond it is a straight line."""

    points: Sequence[tuple[int, float]]

    def seconds(self, rows: int) -> float:
        """Time of one prediction of that many rows."""
        rows = max(rows, 1)
        if len(self.points) == 1:
            only_rows, only = self.points[0]
            return only * max(rows / only_rows, 1.0)
        place = min(max(bisect_left([r for r, _ in self.points], rows), 1), len(self.points) - 1)
        (low, before), (high, after) = self.points[place - 1], self.points[place]
        slope = max((after - before) / (high - low), 0.0)
        return max(before + slope * (rows - low), self.points[0][1])
