"""Users in MariaDB: upstream's chain of revisions, the platform's accounts, and a login, on a server elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_mariadb import mariadb_uri  # noqa: F401 - a fixture
from tests.programs.database.programs import Program
from tests.programs.tracking.guarded import ACCOUNTS, ADMIN, SERVING, Guarded

pytestmark = pytest.mark.system
EXPERIMENTS = "/api/2.0/mlflow/experiments/search?max_results=1"


@pytest.fixture
def server(mariadb_uri: str, tmp_path: Path) -> Iterator[Guarded]:  # noqa: F811 - the fixture
    guarded = Guarded(mariadb_uri.replace("mariadb://", "mysql+pymysql://"), tmp_path / "server")
    yield guarded
    guarded.stop()


def test_two_jobs_at_once_make_users_in_mariadb_once_and_they_log_in_after_a_restart(
    server: Guarded, tmp_path: Path
) -> None:
    jobs = [Program("homeport.tracking.migrate", server.env, tmp_path / str(number)) for number in range(2)]
    said = [job.wait(180) for job in jobs]
    assert sum("admin created" in each for each in said) == 1
    assert sum("as they were" in each for each in said) == 1
    server.start()
    server.make_user("ada", "lovelace-1815")
    server.stop()
    server.env |= {"MLFLOW_AUTH_ADMIN_PASSWORD": "a new secret"}
    server.start()
    assert server.ask("GET", EXPERIMENTS).status_code == 401
    assert server.ask("GET", EXPERIMENTS, ADMIN, ACCOUNTS["MLFLOW_AUTH_ADMIN_PASSWORD"]).status_code == 401
    assert server.ask("GET", EXPERIMENTS, ADMIN, "a new secret").status_code == 200
    assert server.ask("GET", EXPERIMENTS, "ada", "lovelace-1815").status_code == 200
    assert server.ask("GET", "/api/2.0/mlflow/registered-models/search", SERVING).status_code == 200
    said = server.ask("GET", "/ready").json()
    assert (said["ready"], said["problems"]) == (True, [])
    assert said["fast_lane"] == {"on": False, "why": "the database is mysql, not PostgreSQL"}
