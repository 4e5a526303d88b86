"""The metrics that were written: which steps were acknowledged, and whether each is in its history, exactly once.

A step whose request failed is unsure: it may be there or not, but not twice. Refuses to know how requests are made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_TOLD = 5  # findings of a kind that are spelled out


def value(step: int) -> float:
    """What every metric is at a step: exact in binary, so that it can be compared."""
    return step / 8


@dataclass
class Written:
    """One metric of one run.

    Args:
        run_id: the run.
        key: the metric.
        steps: so many were sent: 0, 1, 2, …
        unsure: those without an acknowledgement.
    """

    run_id: str
    key: str
    steps: int = 0
    unsure: set[int] = field(default_factory=set)

    @property
    def acknowledged(self) -> int:
        """How many steps must be there."""
        return self.steps - len(self.unsure)


class Ledger:
    """What the writers of one process wrote."""

    def __init__(self) -> None:
        self._open: list[Written] = []

    def open(self, run_id: str, key: str) -> Written:
        """A new metric; the caller counts in it."""
        self._open.append(Written(run_id, key))
        return self._open[-1]

    def take(self) -> list[list[Any]]:
        """All of it as plain lists, and forget it; once, at the end."""
        said = [[each.run_id, each.key, each.steps, sorted(each.unsure)] for each in self._open]
        self._open.clear()
        return said


def read(rows: Iterable[Sequence[Any]]) -> list[Written]:
    """What processes took."""
    return [Written(run_id, key, steps, set(unsure)) for run_id, key, steps, unsure in rows]


@dataclass
class Verdict:
    """What the comparison of ledger and histories found.

    Args:
        metrics: that were compared.
        acknowledged: steps that had to be there.
        found: of these, those that are there once and with the right value.
        lost: acknowledged and not there.
        doubled: there more than once.
        wrong: there with another value, or never sent.
        unread: metrics whose history could not be had.
        told: the first few findings as text.
    """

    metrics: int = 0
    acknowledged: int = 0
    found: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    unread: int = 0
    told: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether every acknowledged step is there once."""
        return not (self.lost or self.doubled or self.wrong or self.unread)

    def compare(self, written: Written, history: Iterable[Mapping[str, Any]] | None) -> None:
        """Add one metric: its history as MLflow's API has it, None when there was no answer."""
        self.metrics += 1
        self.acknowledged += written.acknowledged
        if history is None:
            self.unread += 1
            self._tell(written, "its history could not be read")
            return
        points = [(int(point.get("step", 0)), float(point["value"])) for point in history]
        times = Counter(step for step, _ in points)
        must = set(range(written.steps)) - written.unsure
        lost = must - times.keys()
        doubled = {step for step, count in times.items() if count > 1}
        wrong = {step for step, seen in points if not 0 <= step < written.steps or seen != value(step)}
        self.lost += len(lost)
        self.doubled += len(doubled)
        self.wrong += len(wrong)
        self.found += len(must - lost - doubled - wrong)
        for what, steps in (("lost", lost), ("doubled", doubled), ("wrong", wrong)):
            if steps:
                self._tell(written, f"{what}: steps {sorted(steps)[:_TOLD]}")

    def _tell(self, written: Written, what: str) -> None:
        if len(self.told) < _TOLD:
            self.told.append(f"run {written.run_id}, metric {written.key}: {what}")
