"""Odd spellings of hot paths, foreign hosts and foreign pages get from the front what MLflow gives."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator

import pytest

from tests.programs.database.server import Server
from tests.programs.tracking.conftest import uri
from tests.programs.tracking.guard.asked import API, OPEN, Pair, pair
from tests.programs.tracking.guarded import Guarded

PLAIN = f"{API}/runs/log-metric"
PATHS = (
    f"{PLAIN}/", f"/{PLAIN}", f"{PLAIN};a=b", f"{PLAIN}%3Ba", PLAIN.replace("-", "%2D"), PLAIN.replace("-", "%2d"),
    PLAIN.replace("/runs", "%2Fruns"), PLAIN.upper(), PLAIN.replace("api", "API"), PLAIN.replace("runs", "./runs"),
    PLAIN.replace("runs", "x/../runs"), PLAIN.replace("runs", "%2e%2e/mlflow/runs"), PLAIN.replace("/runs", "//runs"),
    PLAIN.replace("runs", "%252e/runs"), f"{PLAIN}%00", f"{PLAIN}%20", f"{PLAIN}%0a", f"{PLAIN}%23", f"{PLAIN}?",
    f"{PLAIN}?run_id=x", f"{PLAIN}%3F", PLAIN.replace("runs", "run%73"), PLAIN.replace("m", "%6D", 1),
    f"/static-files/..{PLAIN}", f"/health/..{PLAIN}",
    f"/static-files/%2e%2e{PLAIN}", "/homeport/internal/permits", "/homeport/internal/forget",
    "/homeport%2Finternal/permits", "//homeport/internal/permits",
)  # fmt: skip
HOSTS = ("evil.example.net", "evil.example.net:80", "localhost.evil.net", "", "127.0.0.1@evil.net", "evil, localhost")


@pytest.fixture(scope="module")
def servers(postgres: Server, copies: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Everybody is the administrator here."""
    with pair(uri(postgres, copies()), tmp_path_factory.mktemp("paths"), "READ", HOMEPORT_AUTH="off") as made:
        yield made


def raw(server: Guarded, method: str, target: str, body: str, *headers: tuple[str, str]) -> tuple[int, bytes]:
    """One request, its target and headers as they are."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        given = (("content-type", "application/json"), ("content-length", str(len(body))), *headers)
        for name, value in given if "host" in dict(headers) else (("host", f"127.0.0.1:{server.port}"), *given):
            connection.putheader(name, value)
        connection.endheaders(body.encode())
        answer = connection.getresponse()
        return answer.status, answer.read().replace(str(server.port).encode(), b"PORT")
    finally:
        connection.close()


def metric(pair_: Pair, side: str) -> str:
    return json.dumps({"run_id": pair_.things[side, OPEN].run, "key": "m", "value": 1, "timestamp": 1})


@pytest.mark.parametrize("path", PATHS)
def test_no_odd_spelling_of_a_hot_path_is_answered_otherwise_than_by_mlflow(servers: Pair, path: str) -> None:
    before = servers.counted()
    fast = raw(servers.fast, "POST", path, metric(servers, "fast"))
    slow = raw(servers.slow, "POST", path, metric(servers, "slow"))
    assert fast == slow
    assert path.startswith((f"{PLAIN}?", PLAIN)) or servers.counted() == before


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_that_is_not_ours_gets_mlflows_refusal_on_hot_calls_too(servers: Pair, host: str) -> None:
    before = servers.counted()
    fast = raw(servers.fast, "POST", PLAIN, metric(servers, "fast"), ("host", host))
    slow = raw(servers.slow, "POST", PLAIN, metric(servers, "slow"), ("host", host))
    assert fast == slow
    assert fast[0] in {400, 403}
    assert servers.counted() == before


def test_a_foreign_page_may_change_nothing_and_ones_own_is_answered_fast(servers: Pair) -> None:
    body = metric(servers, "fast")
    assert raw(servers.fast, "POST", PLAIN, body, ("origin", "https://evil.example.net"))[0] == 403
    before = servers.counted().get("log-metric", 0)
    assert raw(servers.fast, "POST", PLAIN, body, ("origin", f"http://127.0.0.1:{servers.fast.port}")) == (200, b"{}")
    assert servers.counted()["log-metric"] == before + 1


def test_the_headers_of_a_fast_answer_are_those_of_mlflows(servers: Pair) -> None:
    own = {"date", "server", "content-length"}
    for origin in ({}, {"Origin": "http://localhost:1"}, {"Origin": "https://elsewhere.example.org"}):
        told = []
        for name, side in (("fast", servers.fast), ("slow", servers.slow)):
            values = {"run_id": servers.things[name, OPEN].run}
            answer = side.ask("GET", f"{API}/runs/get", params=values, headers=origin)
            told.append({key.lower(): value for key, value in answer.headers.items() if key.lower() not in own})
        assert told[0] == told[1]
