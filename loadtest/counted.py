"""The numbers of a report, from what was counted: by kind, in all, over time. Neither text nor pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from loadtest.ledger import Verdict
from loadtest.timeline import Timeline, quantile

ALL = "all"


@dataclass(frozen=True)
class Row:
    """One kind of request.

    Args:
        kind: for example ``writer log-metric``; `ALL` for their sum.
        requests: how many, right and wrong ones.
        failed: of these, wrong ones.
        rate: right answers a second in the steady seconds.
        p50: milliseconds of the right ones, in the steady seconds; NaN without any.
        p99: the same.
        megabytes: bodies of right answers, in 10^6 bytes.
    """

    kind: str
    requests: int
    failed: int
    rate: float
    p50: float
    p99: float
    megabytes: float


@dataclass(frozen=True)
class Numbers:
    """A whole test.

    Args:
        begin: second since the epoch of the first answer.
        seconds: from the first to the last answer.
        steady: seconds (from `begin`) that rates and quantiles are taken from: all users were there, none was ending.
        rows: by kind, in order; the last one is their sum.
        errors: (kind, message, count), most frequent first.
    """

    begin: int
    seconds: int
    steady: tuple[int, int]
    rows: tuple[Row, ...]
    errors: tuple[tuple[str, str, int], ...]

    @property
    def total(self) -> Row:
        """The sum of all kinds."""
        return self.rows[-1]

    def as_dict(self, verdict: Verdict) -> dict[str, Any]:
        """For programs."""
        return {**asdict(self), "verdict": {**asdict(verdict), "good": verdict.good}}


@dataclass(frozen=True)
class Moments:
    """One group of requests, second by second; NaN where nothing ended."""

    rate: Sequence[int]
    failed: Sequence[int]
    p50: Sequence[float]
    p99: Sequence[float]


def count(timeline: Timeline, ramp: float) -> Numbers:
    """The numbers; the first `ramp` seconds, in which users were still coming, and the last one are not steady."""
    seconds = timeline.seconds
    length = len(seconds)
    first = min(int(ramp) + 1, length)
    steady = (first, length - 1) if length - 1 > first else (0, length)
    chosen = range(seconds.start + steady[0], seconds.start + steady[1]) if length else range(0)
    rows = [_row(timeline, kind, {kind}, chosen) for kind in timeline.kinds]
    rows.append(_row(timeline, ALL, set(timeline.kinds), chosen))
    errors = tuple((kind, text, times) for (kind, text), times in timeline.errors.most_common())
    return Numbers(seconds.start if length else 0, length, steady, tuple(rows), errors)


def moments(timeline: Timeline, group: str) -> Moments:
    """What happened in each second to the requests of one kind of user (the first word of a kind)."""
    buckets: dict[int, Counter[int]] = {second: Counter() for second in timeline.seconds}
    failed: Counter[int] = Counter()
    for (second, kind, number), times in timeline.answered.items():
        if group in (ALL, kind.split()[0]):
            buckets[second][number] += times
    for (second, kind), times in timeline.failed.items():
        if group in (ALL, kind.split()[0]):
            failed[second] += times
    return Moments(
        rate=[sum(buckets[second].values()) for second in timeline.seconds],
        failed=[failed[second] for second in timeline.seconds],
        p50=[quantile(buckets[second], 0.5) for second in timeline.seconds],
        p99=[quantile(buckets[second], 0.99) for second in timeline.seconds],
    )


def _row(timeline: Timeline, name: str, kinds: set[str], steady: range) -> Row:
    answered: Counter[int] = Counter()
    right = 0
    for (second, kind, number), times in timeline.answered.items():
        if kind in kinds:
            right += times
            if second in steady:
                answered[number] += times
    failed = sum(times for (_, kind), times in timeline.failed.items() if kind in kinds)
    received = sum(size for (_, kind), size in timeline.received.items() if kind in kinds)
    return Row(
        kind=name, requests=right + failed, failed=failed, rate=sum(answered.values()) / max(1, len(steady)),
        p50=quantile(answered, 0.5), p99=quantile(answered, 0.99), megabytes=received / 1e6,
    )  # fmt: skip
