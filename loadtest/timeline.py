"""Requests by second and kind: how many, how long they took, which failed. Processes add theirs to one another.

Durations are counted in buckets that differ by 2 %, so any quantile of any part is within 1 % of the true one.
Refuses to know who asks for what.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

_STEP = math.log(1.02)
_FLOOR = 0.001  # ms; nothing is faster


def bucket(milliseconds: float) -> int:
    """The bucket of a duration."""
    return int(math.log(max(milliseconds, _FLOOR) / _FLOOR) / _STEP)


def milliseconds(number: int) -> float:
    """The middle of a bucket."""
    return _FLOOR * math.exp((number + 0.5) * _STEP)


def quantile(buckets: Mapping[int, int], share: float) -> float:
    """The duration (ms) that `share` of the requests did not exceed, by nearest rank; NaN when there are none."""
    rank = max(1, math.ceil(share * sum(buckets.values())))
    reached = 0
    for number in sorted(buckets):
        reached += buckets[number]
        if reached >= rank:
            return milliseconds(number)
    return math.nan


@dataclass
class Timeline:
    """What was measured.

    Args:
        answered: (second, kind, bucket) -> how many right answers.
        failed: (second, kind) -> how many wrong ones or none.
        received: (second, kind) -> bytes of right answers' bodies.
        errors: (kind, message) -> how many.
    """

    answered: Counter[tuple[int, str, int]] = field(default_factory=Counter)
    failed: Counter[tuple[int, str]] = field(default_factory=Counter)
    received: Counter[tuple[int, str]] = field(default_factory=Counter)
    errors: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, second: int, kind: str, took: float, size: int, error: str | None) -> None:
        """One request: when it ended, what it was, its milliseconds, the answer's bytes, what was wrong with it."""
        if error is None:
            self.answered[second, kind, bucket(took)] += 1
            self.received[second, kind] += size
        else:
            self.failed[second, kind] += 1
            self.errors[kind, error] += 1

    def take(self) -> dict[str, Any]:
        """All of it as plain lists, and forget it."""
        said = {name: [[*key, count] for key, count in getattr(self, name).items()] for name in _TABLES}
        for name in _TABLES:
            getattr(self, name).clear()
        return said

    def merge(self, said: Mapping[str, Iterable[Iterable[Any]]]) -> None:
        """Add what another process took."""
        for name in _TABLES:
            table = getattr(self, name)
            for *key, count in said[name]:
                table[tuple(key)] += count

    @property
    def kinds(self) -> list[str]:
        """Every kind that was asked."""
        return sorted({kind for _, kind, _ in self.answered} | {kind for _, kind in self.failed})

    @property
    def seconds(self) -> range:
        """From the first to the last second in which anything ended."""
        found = {second for second, *_ in self.answered} | {second for second, _ in self.failed}
        return range(min(found), max(found) + 1) if found else range(0)


_TABLES = ("answered", "failed", "received", "errors")
