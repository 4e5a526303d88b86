"""An alias that moves is followed by every replica of `serving`, and no answer is half of one version."""

from __future__ import annotations

import time

import pytest

from tests.e2e.harness import eventually
from tests.replicas import models
from tests.replicas.conftest import MakeCluster
from tests.replicas.load import Askers, Load

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(600)]

_POLL = 3.0  # HOMEPORT_SERVING_POLL; a look is up to 30 % later
_LOAD = 15.0  # seconds to fetch and load a small model on a busy machine


def test_a_moved_alias_is_served_by_all_replicas_within_poll_and_load_and_no_answer_mixes(
    replicas: MakeCluster,
) -> None:
    cluster = replicas(tracking=2, environ={"serving": {"HOMEPORT_SERVING_POLL": str(_POLL)}})
    answers = models.register(cluster, "numbers")
    cluster.scale("serving", 3)
    load = Load()
    askers = Askers(cluster.url("serving"), load, "numbers", answers, count=6)
    with load:
        moved = time.monotonic()
        models.move_alias(cluster, "numbers", "2")
        eventually(
            lambda: all(models.served(replica.url, "numbers") == {"2"} for replica in cluster.serving),
            _POLL * 1.3 + _LOAD, "version 2 everywhere",
        )  # fmt: skip
        everywhere = time.monotonic()
        load.goes_on(20)
    assert load.failures == []  # each answer was compared with the version that its header names
    assert {version for at, version in askers.versions if at < moved} == {"1"}
    assert {version for at, version in askers.versions if at > everywhere} == {"2"}


def test_a_reload_reaches_one_replica_and_polling_the_others(replicas: MakeCluster) -> None:
    cluster = replicas(tracking=1, environ={"serving": {"HOMEPORT_SERVING_POLL": "5"}})
    models.register(cluster, "numbers")
    cluster.scale("serving", 2)
    models.move_alias(cluster, "numbers", "2")
    first, second = cluster.serving
    models.reload(first.url)
    assert models.served(first.url, "numbers") == {"2"}
    eventually(lambda: models.served(second.url, "numbers") == {"2"}, 5 * 1.3 + _LOAD, "the other one follows")


def test_a_new_replica_gets_no_request_before_it_can_answer_as_the_others_do(replicas: MakeCluster) -> None:
    cluster = replicas(tracking=1, environ={"serving": {"HOMEPORT_SERVING_ONE_OF_MANY": "true"}})
    models.register(cluster, "numbers")
    cluster.scale("serving", 1)
    cluster.cut(cluster.tracking[0])
    new = cluster.launch("serving")
    eventually(lambda: "registry" in models.unready(new.url), 60, "it says that the registry is away")
    assert not new.is_ready()
    assert cluster.serving[0].is_ready()
    cluster.heal(cluster.tracking[0])
    cluster.admit(new)
    assert models.served(new.url, "numbers") == {"1"}
