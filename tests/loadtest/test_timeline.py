from __future__ import annotations

import math
import random

import pytest
from loadtest.counted import ALL, count, moments
from loadtest.timeline import Timeline, bucket, milliseconds, quantile


def load(seed: int, requests: int = 4_000) -> list[tuple[int, str, float, int, str | None]]:
    """Requests of ten seconds: when, what, how long, how much, what was wrong."""
    chance = random.Random(seed)
    return [
        (
            1_000 + chance.randrange(10), chance.choice(["writer log-metric", "reader get-run"]),
            chance.lognormvariate(1, 1), chance.randrange(100), "status 500" if chance.random() < 0.05 else None,
        )
        for _ in range(requests)
    ]  # fmt: skip


def counted(requests: list[tuple[int, str, float, int, str | None]]) -> Timeline:
    timeline = Timeline()
    for second, kind, took, size, error in requests:
        timeline.add(second, kind, took, size, error)
    return timeline


@pytest.mark.parametrize("took", [0.0, 0.001, 0.2, 1.0, 47.11, 60_000.0])
def test_a_duration_is_known_within_one_percent(took: float) -> None:
    assert milliseconds(bucket(took)) == pytest.approx(max(took, 0.001), rel=0.011)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 0.99, 1.0])
def test_a_quantile_is_the_nearest_rank_within_one_percent(share: float) -> None:
    took = sorted(request[2] for request in load(7) if request[4] is None)
    timeline = counted(load(7))
    buckets: dict[int, int] = {}
    for (_, _, number), times in timeline.answered.items():
        buckets[number] = buckets.get(number, 0) + times
    assert quantile(buckets, share) == pytest.approx(took[math.ceil(share * len(took)) - 1], rel=0.011)


def test_there_is_no_quantile_of_nothing() -> None:
    assert math.isnan(quantile({}, 0.5))


def test_what_processes_counted_apart_is_what_one_would_have_counted() -> None:
    requests = load(3)
    whole, together = counted(requests), Timeline()
    for part in (requests[:100], requests[100:]):
        apart = counted(part)
        together.merge(apart.take())
        assert apart == Timeline()
    assert together == whole


def test_the_rows_of_a_report_add_up() -> None:
    requests = load(5)
    numbers = count(counted(requests), ramp=2)
    *kinds, total = numbers.rows
    assert total.kind == ALL
    assert total.requests == len(requests) == sum(row.requests for row in kinds)
    assert total.failed == sum(request[4] is not None for request in requests) == sum(row.failed for row in kinds)
    assert total.failed == sum(times for *_, times in numbers.errors)
    assert total.megabytes == pytest.approx(sum(row.megabytes for row in kinds))
    assert total.rate == pytest.approx(sum(row.rate for row in kinds))


def test_rates_are_of_the_seconds_in_which_all_users_were_there() -> None:
    timeline = Timeline()
    for second in range(10):
        for _ in range(100 if second >= 3 else 1):
            timeline.add(second, "writer log-metric", 1.0, 0, None)
    numbers = count(timeline, ramp=2.5)
    assert numbers.steady == (3, 9)
    assert numbers.total.rate == 100
    assert numbers.total.requests == 703


def test_a_test_shorter_than_its_ramp_is_counted_whole() -> None:
    timeline = counted([(5, "reader get-run", 1.0, 0, None), (6, "reader get-run", 1.0, 0, None)])
    assert count(timeline, ramp=60).total.rate == 1


def test_a_test_without_an_answer_has_numbers_too() -> None:
    numbers = count(Timeline(), ramp=1)
    assert (numbers.seconds, numbers.total.requests, numbers.total.rate) == (0, 0, 0)


def test_seconds_add_up_to_the_rows() -> None:
    timeline = counted(load(9))
    by_second, total = moments(timeline, ALL), count(timeline, ramp=0).total
    assert sum(by_second.rate) == total.requests - total.failed
    assert sum(by_second.failed) == total.failed
    assert sum(moments(timeline, "writer").rate) + sum(moments(timeline, "reader").rate) == sum(by_second.rate)
