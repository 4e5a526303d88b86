"""PostgreSQL's host is lost without a word, a standby takes over its address, and the replicas find it themselves."""

from __future__ import annotations

import time

import pytest

from tests.e2e.harness import eventually
from tests.replicas.conftest import MakeCluster
from tests.replicas.load import Load, Writers, readers

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(600)]

_RECOVERED = 30.0  # seconds from the moment that the address answers again


@pytest.mark.parametrize("by", ["address", "name"])
def test_after_a_failover_every_acknowledged_metric_is_there_and_every_replica_comes_back(
    replicas: MakeCluster, by: str
) -> None:
    cluster = replicas(tracking=3)
    cluster.database.follow()
    load = Load(patience=60.0)
    writers = Writers(cluster.url(), load)
    readers(cluster.url(), load)
    with load:
        load.goes_on(50)
        cluster.database.lose_primary()
        cluster.database.promote(by=by)
        back = time.monotonic()
        load.goes_on(1, timeout=_RECOVERED)
        eventually(lambda: all(replica.is_ready() for replica in cluster.tracking), _RECOVERED, "all ready again")
        seconds = time.monotonic() - back
        load.goes_on(20)
    assert seconds < _RECOVERED
    writers.assert_each_is_there_once()


def test_a_database_that_is_started_again_is_found_by_every_replica(replicas: MakeCluster) -> None:
    cluster = replicas(tracking=3)
    load = Load(patience=60.0)
    writers = Writers(cluster.url(), load)
    with load:
        load.goes_on(20)
        cluster.database.stop()
        cluster.database.start()
        load.goes_on(20, timeout=_RECOVERED)
        eventually(lambda: all(replica.is_ready() for replica in cluster.tracking), _RECOVERED, "all ready again")
    writers.assert_each_is_there_once()
