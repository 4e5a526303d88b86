from __future__ import annotations

import json
from typing import Any

import pytest

from homeport.compose import containers
from homeport.compose.containers import Container, Model
from homeport.model.service import Job, Port, Probe, Service, TcpProbe

SERVICE = Service(name="tracking", title="t", command=("x",), ports=(Port("main", 1),), probe=Probe(TcpProbe()))
SILENT = Service(name="tracking", title="t", command=("x",))
JOB = Job(name="tracking-migrate", title="t", command=("x",), owner="tracking")


def inspected(service: str, state: dict[str, Any], **labels: str) -> dict[str, Any]:
    """What `docker container inspect` says of one container, less what nobody reads."""
    named = {
        f"com.docker.compose.{name}": value for name, value in {"service": service, "oneoff": "False", **labels}.items()
    }
    return {"Id": f"id-{service}", "Image": "sha256:1", "RestartCount": 2, "Config": {"Labels": named}, "State": state}


@pytest.mark.parametrize(
    ("node", "container", "state", "ready"),
    [
        (SERVICE, None, "pending", False),
        (SERVICE, Container("i", "tracking", "created"), "pending", False),
        (SERVICE, Container("i", "tracking", "running", "starting"), "running", False),
        (SERVICE, Container("i", "tracking", "running", "healthy"), "healthy", True),
        (SERVICE, Container("i", "tracking", "running", "unhealthy"), "unhealthy", False),
        (SERVICE, Container("i", "tracking", "restarting", exit_code=1), "backoff", False),
        (SERVICE, Container("i", "tracking", "exited", exit_code=137), "stopped", False),
        (SERVICE, Container("i", "tracking", "paused"), "unhealthy", False),
        (SILENT, Container("i", "tracking", "running"), "running", True),
        (JOB, None, "pending", False),
        (JOB, Container("i", "tracking-migrate", "running"), "running", False),
        (JOB, Container("i", "tracking-migrate", "exited"), "completed", True),
        (JOB, Container("i", "tracking-migrate", "exited", exit_code=1), "failed", False),
    ],
)
def test_a_container_is_told_in_the_words_of_plain_processes(
    node: Service | Job, container: Container | None, state: str, ready: bool
) -> None:
    assert containers.state(node, container) == state
    assert containers.is_ready(node, container) is ready
    assert containers.row(node, container)["state"] == state


def test_a_row_has_every_key_and_says_why_it_is_not_well() -> None:
    state = {
        "Status": "running", "Pid": 7, "ExitCode": 0, "StartedAt": "2026-11-21T10:28:09.123456789Z",
        "FinishedAt": "0001-01-01T00:00:00Z", "Health": {"Status": "unhealthy", "Log": [
            {"ExitCode": 1, "Output": "GET /ready -> 503\ndatabase: gone\n"}, {"ExitCode": 0, "Output": "ok"}]},
    }  # fmt: skip
    (found,) = containers.read(json.dumps([inspected("tracking", state)]))
    assert containers.row(SERVICE, found, "https://x") == {
        "name": "tracking", "kind": "service", "owner": "tracking", "state": "unhealthy", "health": "unhealthy",
        "pid": 7, "url": "https://x", "restarts": 2, "since": "2026-11-21T10:28:09.123Z", "detail": "database: gone",
    }  # fmt: skip


def test_a_process_killed_for_its_memory_is_said_to_be() -> None:
    killed = Container("i", "tracking", "restarting", exit_code=137, out_of_memory=True)
    assert "out of memory" in str(containers.row(SERVICE, killed)["detail"])


def test_containers_of_compose_run_are_not_the_services() -> None:
    state = {"Status": "running"}
    both = [inspected("training", state, oneoff="True"), inspected("tracking", state)]
    assert [each.service for each in containers.read(json.dumps(both))] == ["tracking"]
    assert containers.read("") == []


def test_the_running_container_wins_over_an_older_one() -> None:
    old, new = Container("a", "tracking", "exited"), Container("b", "tracking", "running")
    assert containers.by_service([old, new])["tracking"].id == "b"
    assert containers.by_service([new, old])["tracking"].id == "b"


def test_the_model_says_what_is_published_and_where_secrets_are() -> None:
    ports = [{"published": "443", "host_ip": "127.0.0.1", "target": 8443}, {"target": 8082}]
    data = {"name": "p", "services": {"gateway": {"ports": ports}}, "secrets": {"admin-password": {"file": "/s/a"}}}
    model = Model.read(json.dumps(data))
    assert model.published() == [("gateway", "127.0.0.1", 443)]
    assert model.secrets == {"admin-password": "/s/a"}
