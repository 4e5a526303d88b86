"""A rolling update replaces every replica and fails no request."""

from __future__ import annotations

import pytest

from tests.replicas import models
from tests.replicas.conftest import MakeCluster
from tests.replicas.load import Askers, Load, Writers, readers

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_rolling_update_of_tracking_fails_no_request_and_keeps_every_metric_once(replicas: MakeCluster) -> None:
    cluster = replicas(tracking=3)
    before = {replica.name for replica in cluster.tracking}
    load = Load()
    writers = Writers(cluster.url(), load)
    readers(cluster.url(), load)
    with load:
        cluster.roll("tracking")
        load.goes_on()
    assert not before & {replica.name for replica in cluster.tracking}
    assert load.failures == []
    assert writers.acknowledged > 1000
    writers.assert_each_is_there_once()


def test_a_rolling_update_of_serving_fails_no_prediction(replicas: MakeCluster) -> None:
    cluster = replicas(tracking=1)
    answers = models.register(cluster, "numbers")
    cluster.scale("serving", 3)
    load = Load()
    askers = Askers(cluster.url("serving"), load, "numbers", answers)
    with load:
        cluster.roll("serving")
        load.goes_on()
    assert load.failures == []
    assert {version for _, version in askers.versions} == {"1"}
