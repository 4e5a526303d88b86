"""Bodies pass through the gateway as they come: large, slow, in pieces, both ways, on connections that stay open."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Iterator
from http.client import HTTPResponse

import pytest
import requests
from websockets.sync.client import connect

from tests.programs.gateway.traefik import Traefik
from tests.programs.gateway.upstream import Upstream

_MIB = 2**20


@pytest.mark.parametrize("kind", ["sse", "ndjson"])
def test_pieces_of_an_answer_arrive_one_by_one(traefik: Traefik, upstreams: dict[str, Upstream], kind: str) -> None:
    upstreams["models"].release.clear()
    with requests.get(traefik.url("models", f"/events?{kind}"), verify=traefik.ca, stream=True, timeout=30) as found:
        lines = found.iter_lines()
        assert next(lines) == b"data: 1"  # the second is not written yet
        upstreams["models"].release.set()
        assert b"data: 2" in list(lines)


def test_a_websocket_passes_both_ways(traefik: Traefik) -> None:
    context = ssl.create_default_context(cafile=traefik.ca)
    with connect(traefik.url("mlflow", "/ws").replace("https", "wss"), ssl=context) as socket:
        for word in ("one", "two"):
            socket.send(word)
            assert socket.recv(timeout=30) == word.upper()


def test_a_chunked_body_arrives_whole(traefik: Traefik) -> None:
    pieces = iter([b"a" * 1000, b"b" * 100_000, b"c"])

    found = requests.put(traefik.url("mlflow", "/put"), data=pieces, verify=traefik.ca, timeout=30).json()

    assert found["body"] == 101_001


def test_connections_stay_open_on_both_sides(traefik: Traefik) -> None:
    peers = set()
    with traefik.connect("models.localhost") as connection:
        connection.settimeout(30)
        for _ in range(5):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: models.localhost\r\n\r\n")
            answer = HTTPResponse(connection)
            answer.begin()
            peers.add(json.loads(answer.read())["peer"])

    assert len(peers) == 1


@pytest.mark.slow
def test_an_upload_of_a_gibibyte_is_streamed_and_never_held(traefik: Traefik) -> None:
    total = 1024
    before, most, over = traefik.memory, 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not over.wait(0.02):
            most = max(most, traefik.memory)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        piece = bytes(_MIB)
        found = requests.put(
            traefik.url("mlflow", "/put"), data=(piece for _ in range(total)), verify=traefik.ca, timeout=300
        ).json()
    finally:
        over.set()
        watcher.join()

    assert found["body"] == total * _MIB
    assert most - before < 64 * _MIB


@pytest.mark.slow
def test_an_upload_slower_than_a_minute_is_not_cut(traefik: Traefik) -> None:
    pace = threading.Event()
    begun = time.monotonic()

    def slowly() -> Iterator[bytes]:
        for _ in range(36):
            pace.wait(2)  # never set: a slow line
            yield b"x" * 1000

    found = requests.put(traefik.url("mlflow", "/put"), data=slowly(), verify=traefik.ca, timeout=30).json()

    assert found["body"] == 36_000
    assert time.monotonic() - begun > 65


def test_a_large_head_and_a_smuggled_request_are_refused(traefik: Traefik) -> None:
    both = ("Transfer-Encoding: chunked", "Transfer-Encoding: identity")
    assert traefik.raw("mlflow.localhost", "/", *both, method="POST")[0] in {400, 501}
    assert traefik.raw("mlflow.localhost", "/", "Content-Length: 1", "Content-Length: 2", method="POST")[0] == 400
    assert traefik.raw("mlflow.localhost", "/", f"X: {'x' * 2 * _MIB}")[0] == 431
