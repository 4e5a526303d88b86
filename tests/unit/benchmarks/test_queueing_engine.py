"""The simulation is held to what queueing theory says exactly."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from queueing_engine import Clock, Flush, Gather, Station

ARRIVALS = 60_000


def mean_wait(servers: int, rate: float, service: Callable[[random.Random], float], seed: int = 1) -> float:
    """Seconds in the queue, on average, of a simulated M/·/c."""
    clock, chance = Clock(), random.Random(seed)
    station = Station(clock, servers)
    waits: list[float] = []

    def arrive() -> None:
        begun, work = clock.now, service(chance)
        station.submit(work, lambda: waits.append(clock.now - begun - work))
        if len(waits) < ARRIVALS:
            clock.after(chance.expovariate(rate), arrive)

    clock.after(0.0, arrive)
    clock.run(until=2 * ARRIVALS / rate)
    assert len(waits) >= ARRIVALS
    return sum(waits[1_000:]) / len(waits[1_000:])


def erlang_c(servers: int, rate: float, mean: float) -> float:
    """Mean wait of M/M/c: C(c, a) / (c/mean - rate)."""
    offered = rate * mean
    full = offered**servers / math.factorial(servers) * servers / (servers - offered)
    waits = full / (sum(offered**k / math.factorial(k) for k in range(servers)) + full)
    return waits / (servers / mean - rate)


@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (1, 0.7), (3, 0.8)])
def test_memoryless_servers_wait_as_erlang_says(servers: int, load: float) -> None:
    found = mean_wait(servers, load * servers, lambda chance: chance.expovariate(1.0))
    assert found == pytest.approx(erlang_c(servers, load * servers, 1.0), rel=0.1)


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_constant_service_waits_half_as_long_as_pollaczek_and_khinchine_say(load: float) -> None:
    assert mean_wait(1, load, lambda _: 1.0) == pytest.approx(load / (2 * (1 - load)), rel=0.1)


def test_a_station_is_as_busy_as_it_is_asked_to_be() -> None:
    clock, chance = Clock(), random.Random(3)
    station = Station(clock, 2)

    def arrive() -> None:
        station.submit(0.5, lambda: None)
        clock.after(chance.expovariate(2.0), arrive)

    clock.after(0.0, arrive)
    clock.run(until=20_000)
    assert station.utilisation(20_000) == pytest.approx(0.5, rel=0.02)


def test_who_finds_the_queue_full_is_refused() -> None:
    station = Station(Clock(), 1, room=2)
    assert [station.submit(1.0, lambda: None) for _ in range(5)] == [True, True, True, False, False]


def test_what_is_due_at_once_keeps_its_order() -> None:
    clock = Clock()
    seen: list[int] = []
    for number in range(5):
        clock.after(1.0, lambda number=number: seen.append(number))  # type: ignore[misc] # bound now
    clock.run(until=0.5)
    assert seen == []
    clock.run(until=1.0)
    assert seen == [0, 1, 2, 3, 4]


def test_one_flush_is_for_all_who_came_before_it_began() -> None:
    clock = Clock()
    log = Flush(clock, 1.0)
    seen: list[tuple[str, float]] = []
    for name, at in (("first", 0.0), ("second", 0.2), ("third", 0.9)):
        clock.after(at, lambda name=name: log.submit(lambda: seen.append((name, clock.now))))  # type: ignore[misc] # bound now
    clock.run(until=5.0)
    assert seen == [("first", 1.0), ("second", 2.0), ("third", 2.0)]
    assert log.worked == 2.0


def test_what_waits_for_a_group_is_the_next_group() -> None:
    clock = Clock()
    groups: list[int] = []

    def commit(rows: int, then: Callable[[], None]) -> None:
        groups.append(rows)
        clock.after(1.0, then)

    gather = Gather(commit)
    for _ in range(50):
        gather.submit(1, lambda: None)
    clock.run(until=1.5)
    assert groups == [1, 49]


def test_a_second_group_is_under_way_only_where_much_waits_and_none_is_too_large() -> None:
    groups: list[int] = []
    gather = Gather(lambda rows, _: groups.append(rows), many=128, rows=2048)
    for _ in range(30):
        gather.submit(100, lambda: None)
    assert groups == [100, 200]
    finished: list[Callable[[], None]] = []

    def commit(rows: int, then: Callable[[], None]) -> None:
        groups.append(rows)
        finished.append(then)

    gather = Gather(commit, many=128, rows=2048)
    for _ in range(31):
        gather.submit(100, lambda: None)
    finished[0]()
    assert max(groups) <= 2048
