from __future__ import annotations

import itertools

import numpy as np
import pytest
from queueing import sizes
from queueing_autoscaling import Controller, simulate
from queueing_model import MEASURED, PREDICTIONS, TEAM, Simulation, Site, needed


def test_all_that_comes_is_answered_and_every_part_is_as_busy_as_its_work() -> None:
    site, scale = Site(tracking=2, serving=2, cores=2), 20.0
    seen = Simulation(site, scale, seconds=10.0).run()
    assert seen.refused == 0
    assert seen.done == pytest.approx(scale * (sum(call.rate for call in TEAM) + PREDICTIONS), rel=0.1)
    front = sum(call.rate * MEASURED.front[call.kind] for call in TEAM) * scale / site.tracking
    assert seen.front == pytest.approx(front, rel=0.2)
    assert seen.serving == pytest.approx(PREDICTIONS * scale * MEASURED.predict / site.serving, rel=0.1)


def test_the_same_seed_is_the_same_history() -> None:
    one, other = (Simulation(Site(2, 2, 2), 5.0, seconds=2.0).run() for _ in range(2))
    assert one == other


def test_what_is_said_to_be_needed_is_busy_for_no_more_than_that() -> None:
    for sized in sizes([1, 100]):
        assert max(sized.seen.front, sized.seen.database, sized.seen.serving) < 0.75
        assert sized.seen.refused == 0


def test_more_load_never_needs_less() -> None:
    found = [needed(scale) for scale in (1, 10, 100, 1000)]
    for less, more in itertools.pairwise(found):
        assert (less.tracking, less.serving, less.cores) <= (more.tracking, more.serving, more.cores)


def test_one_replica_too_few_is_seen_in_the_latency() -> None:
    scale = 1000
    enough = needed(scale)
    few = Site(max(1, enough.tracking // 2), enough.serving, enough.cores)
    right, wrong = (Simulation(site, scale, seconds=1.0).run() for site in (enough, few))
    assert wrong.quantile(0.99, "log-metric") > 3 * right.quantile(0.99, "log-metric")


def test_the_controller_asks_for_what_the_documentation_of_kubernetes_says() -> None:
    controller = Controller(target=0.5, request=1.0, least=1, most=10)
    assert controller.wanted(4, used=4 * 0.75) == 6
    assert controller.wanted(4, used=4 * 0.54) == 4  # within a tenth
    assert controller.wanted(4, used=4 * 0.2) == 2
    assert controller.wanted(4, used=0.0) == 1
    assert controller.wanted(4, used=100.0) == 10


def test_a_step_brings_replicas_after_they_had_time_to_start_and_ends_the_refusals() -> None:
    controller = Controller(start=12.0)
    course = simulate(lambda at: 200.0 if at < 30 else 20_000.0, 120, 125e-6, controller)
    assert set(course.ready[:30]) == {2}
    first = int(np.argmax(course.ready > 2))
    assert first >= 30 + controller.start
    assert course.refused[30:first].sum() > 0
    assert course.refused[-20:].sum() == 0


def test_fewer_replicas_come_only_after_five_minutes_of_less_load_and_one_a_minute() -> None:
    course = simulate(lambda at: 20_000.0 if at < 60 else 200.0, 480, 125e-6, Controller(least=8))
    assert course.ready.min() == 8
    most = int(course.ready.max())
    course = simulate(lambda at: 20_000.0 if at < 60 else 200.0, 480, 125e-6, Controller(least=2))
    most = int(course.ready.max())
    assert set(course.ready[90:300]) == {most}
    assert course.ready[-1] == most - 3 or course.ready[-1] == most - 2
    assert max(-np.diff(course.ready)) == 1
