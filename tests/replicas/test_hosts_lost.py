"""A replica that is cut off or killed takes with it what it had in hand, and nothing that was acknowledged."""

from __future__ import annotations

import time

import pytest

from tests.e2e.harness import eventually
from tests.replicas.conftest import MakeCluster
from tests.replicas.hosts import Cluster, Replica
from tests.replicas.load import Load, Writers, readers

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(600)]

_NOTICED = 6.0  # seconds until the balancer sends nothing there: its look every 2 s, 2 s for an answer, and some
_PATIENCE = 5.0  # seconds a client waits; what was sent to a host that is gone fails by this and by nothing else


def _lose(cluster: Cluster, replica: Replica, how: str) -> tuple[Load, Writers]:
    load = Load(patience=_PATIENCE)
    writers = Writers(cluster.url(), load)
    readers(cluster.url(), load)
    with load:
        lost = time.monotonic()
        (cluster.cut if how == "cut" else cluster.kill)(replica)
        load.goes_on(timeout=30)
        load.goes_on(50)
    late = [text for at, text in load.failures if at > lost + _NOTICED]
    assert late == [], "requests failed after the balancer must have known"
    return load, writers


def test_a_replica_that_is_cut_off_costs_each_client_at_most_what_it_had_in_flight(replicas: MakeCluster) -> None:
    cluster = replicas(tracking=3)
    load, writers = _lose(cluster, cluster.tracking[0], "cut")
    # Each client has one request in flight, and may send one more before the balancer knows.
    assert max(len(client.failures) for client in load.clients) <= 2
    writers.assert_each_is_there_once()


def test_a_replica_that_was_cut_off_takes_part_again(replicas: MakeCluster) -> None:
    cluster = replicas(tracking=2)
    first, second = cluster.tracking
    cluster.cut(first)
    _until(cluster, {second.address})
    cluster.heal(first)
    _until(cluster, {first.address, second.address})


def test_a_killed_replica_fails_requests_for_seconds_and_loses_nothing_that_was_acknowledged(
    replicas: MakeCluster,
) -> None:
    cluster = replicas(tracking=3)
    # Until its last process is gone its host takes connections that nobody answers.
    _, writers = _lose(cluster, cluster.tracking[0], "kill")
    writers.assert_each_is_there_once()


def _until(cluster: Cluster, addresses: set[str]) -> None:
    eventually(lambda: cluster.balancer.up("tracking") == addresses, 30, f"the balancer uses {addresses}")
