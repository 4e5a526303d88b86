from __future__ import annotations

import pytest

from homeport.compose import failure
from homeport.compose.containers import Container
from homeport.errors import HomeportError
from homeport.model.graph import Graph
from homeport.model.service import COMPLETED, HEALTHY, Job, Port, Probe, Service, TcpProbe

DATABASE = Service(name="database", title="d", command=("x",), ports=(Port("main", 1),), probe=Probe(TcpProbe()))
MIGRATE = Job(name="migrate", title="m", command=("x",), owner="tracking", needs={"database": HEALTHY})
TRACKING = Service(
    name="tracking", title="t", command=("x",), ports=(Port("main", 1),), probe=Probe(TcpProbe()),
    needs={"migrate": COMPLETED},
)  # fmt: skip
GRAPH = Graph("g", [DATABASE, MIGRATE, TRACKING])
HEALTHY_DATABASE = Container("d", "database", "running", "healthy")


def explained(*containers: Container, lines: tuple[str, ...] = (), said: str = "", crashed: str = "") -> HomeportError:
    found = {each.service: each for each in containers}
    return failure.explain(GRAPH, found, lambda _each: lines, said, crashed)


def test_a_failed_job_that_explained_itself_is_quoted_exactly() -> None:
    own = HomeportError(
        code="DATABASE_DENIED", what="the database refused us", why="another\npassword", fix="restore it",
        evidence=(("server", "database:5432"), ("answer", "password authentication failed")),
    )  # fmt: skip
    lines = ("starting", *own.block().splitlines())
    found = explained(HEALTHY_DATABASE, Container("m", "migrate", "exited", exit_code=1), lines=lines)
    assert (found.code, found.what, found.fix) == (own.code, own.what, own.fix)
    assert found.evidence == own.evidence
    assert found.why == own.why
    assert found.log == "homeport logs migrate"


def test_a_failed_job_that_said_something_else_is_described_with_its_last_lines() -> None:
    failed = Container("m", "migrate", "exited", exit_code=3)
    found = explained(HEALTHY_DATABASE, failed, lines=("a", "", "the disk is made of cheese"))
    assert found.code == "MIGRATE_EXITED"
    assert found.what == "migrate failed (exit 3)"
    assert dict(found.evidence)["last log"] == "a\nthe disk is made of cheese"


def test_an_unhealthy_service_is_named_with_its_last_probe_and_not_who_waits_for_it() -> None:
    sick = Container("d", "database", "running", "unhealthy", probe="no response")
    found = explained(sick, Container("t", "tracking", "created"), said="dependency failed to start")
    assert found.code == "DATABASE_UNHEALTHY"
    assert dict(found.evidence)["last probe"] == "no response"


def test_a_service_that_ends_again_and_again_is_said_to() -> None:
    crashing = Container("t", "tracking", "restarting", exit_code=1, restarts=3)
    found = explained(HEALTHY_DATABASE, crashing, crashed="tracking")
    assert found.what == "tracking ends again and again (exit 1)"


def test_out_of_memory_is_the_reason_given() -> None:
    killed = Container("t", "tracking", "restarting", exit_code=137, restarts=3, out_of_memory=True)
    assert "memory" in explained(HEALTHY_DATABASE, killed, crashed="tracking").why


@pytest.mark.parametrize(
    ("said", "code", "part"),
    [
        (
            "Error response from daemon: driver failed programming external connectivity on endpoint x: "
            "Bind for 127.0.0.1:443 failed: port is already allocated",
            "PORT_TAKEN",
            "HOMEPORT_HTTPS_PORT",
        ),
        ("failed to bind host port for 127.0.0.1:80:172.18.0.2:8080/tcp: address already in use", "PORT_TAKEN", "80"),
        ("listen tcp4 0.0.0.0:80: bind: permission denied", "PORT_DENIED", "ip_unprivileged_port_start"),
        ("Error response from daemon: pull access denied for x, repository does not exist", "IMAGE_NOT_FOUND", "x"),
        ("something nobody has seen\nyet", "COMPOSE_FAILED", "yet"),
    ],
)
def test_what_compose_refuses_is_told_with_a_fix(said: str, code: str, part: str) -> None:
    found = explained(said=said)
    assert found.code == code
    assert part in found.block()
    assert found.fix


def test_a_missing_variable_is_named_with_what_compose_yaml_says_of_it() -> None:
    said = "error while interpolating x-required.[]: required variable DOMAIN is missing a value: no .env yet?"
    found = failure.bad_compose(said)
    assert found.code == "SETTING_MISSING"
    assert "DOMAIN" in found.what
    assert found.why == "no .env yet?"
    assert failure.bad_compose("yaml: line 3: did not find").code == "COMPOSE_INVALID"
