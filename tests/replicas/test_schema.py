"""Migrations with several starters, and servers that see the schema move on under them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from homeport.tracking import schema
from tests.e2e.harness import eventually
from tests.replicas.conftest import MakeCluster
from tests.replicas.hosts import Cluster
from tests.replicas.load import Load, Writers

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
_PASSES_THROUGH = 4.0  # seconds until the fast lane leaves a schema it does not know: a look every 2 s


def _done_by(cluster: Cluster) -> list[str]:
    """Three migrations at once; what those said that did something."""
    jobs = [cluster.migration() for _ in range(3)]
    said = [job.communicate(timeout=300)[0] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0, 0], said
    return [text for text in said if "schema created" in text or "schema upgraded" in text]


def test_of_three_migrations_at_once_on_an_empty_database_exactly_one_does_it(replicas: MakeCluster) -> None:
    assert len(_done_by(replicas(tracking=0))) == 1


def test_of_three_migrations_at_once_on_an_old_database_exactly_one_does_it(replicas: MakeCluster) -> None:
    cluster = replicas(tracking=0)
    before = schema.lineage(None, schema.head(), schema.revisions())[-4]
    program = "import sys; from tests.programs.tracking.test_migrate import older; older(*sys.argv[1:])"
    uri = cluster.database.uri(host=cluster.database.address)
    subprocess.run([sys.executable, "-Wignore", "-c", program, uri, before], check=True, cwd=ROOT)
    assert len(_done_by(cluster)) == 1


def test_three_servers_that_start_at_once_on_a_new_database_all_come_up_without_a_restart(
    replicas: MakeCluster,
) -> None:
    cluster = replicas(tracking=0)
    cluster.migrate()
    for replica in [cluster.launch("tracking") for _ in range(3)]:
        cluster.admit(replica)
    assert cluster.database.ask("SELECT name FROM experiments") == [("Default",)]
    assert [replica.process.said.count("starting another") for replica in cluster.tracking] == [0, 0, 0]


def test_when_the_schema_moves_on_the_old_servers_stay_ready_and_pass_through(replicas: MakeCluster) -> None:
    cluster = replicas(tracking=3)
    load = Load()
    writers = Writers(cluster.url(), load)
    with load:
        cluster.database.ask("UPDATE alembic_version SET version_num = 'fedcba987654'")
        moved = time.monotonic()

        def lanes() -> list[bool]:
            reports = [requests.get(f"{replica.url}/ready", timeout=5).json() for replica in cluster.tracking]
            assert all(report["ready"] for report in reports), reports
            return [report["fast_lane"]["on"] for report in reports]

        eventually(lambda: not any(lanes()), 30, "every fast lane off")
        off = time.monotonic() - moved
        load.goes_on(20)
        assert all(replica.is_ready() for replica in cluster.tracking)
    assert load.failures == []
    assert off < _PASSES_THROUGH + 2.0  # a report is remembered for 2 s
    writers.assert_each_is_there_once()
