"""What is started on demand only: a page for the database, and what watches the platform."""

from __future__ import annotations

import json

from tests.compose.project import Stack
from tests.e2e.harness import eventually


def test_nothing_of_a_profile_runs_unless_it_was_asked_for(running: Stack) -> None:
    assert not {"dbadmin", "prometheus", "grafana", "training", "loadtest"} & set(
        running.composed("config", "--services").split()
    )


def test_adminer_answers_through_the_gateway_and_asks_for_the_databases_own_password(running: Stack) -> None:
    running.composed("--profile", "admin", "up", "--wait", "--no-deps", "dbadmin")
    try:
        page = eventually(lambda: _page(running), 30, "Adminer's page")
        assert b"Adminer" in page
        assert running.secret("database-password").encode() not in page
        assert b"password" in page.lower()
    finally:
        running.composed("--profile", "admin", "rm", "--stop", "--force", "dbadmin")


def _page(stack: Stack) -> bytes:
    answer = stack.call(f"https://db.localhost:{stack.https}/")
    assert answer.status == 200, answer
    return answer.body


def test_prometheus_finds_every_part_that_has_counters(running: Stack) -> None:
    running.composed("--profile", "observability", "up", "--wait", "--no-deps", "prometheus")
    try:

        def up() -> bool:
            url = "http://127.0.0.1:9090/api/v1/targets"
            found = json.loads(running.execute("prometheus", "wget", "-q", "-O", "-", url))["data"]["activeTargets"]
            assert found
            assert not [target["lastError"] for target in found if target["health"] == "down"], found
            return {target["health"] for target in found} == {"up"}

        eventually(up, 60, "all targets up")
    finally:
        running.composed("--profile", "observability", "rm", "--stop", "--force", "prometheus")
