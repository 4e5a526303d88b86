"""What is passed through arrives as it was sent, both ways, whatever its size, and nobody waits for what is over."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.programs.database.programs import eventually
from tests.programs.tracking.front.started import Line, Through, echoed, through

MIB = 2**20


@pytest.fixture(scope="module")
def behind() -> Iterator[Through]:
    with through() as made:
        yield made


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
def test_every_method_arrives(behind: Through, method: str) -> None:
    seen = echoed(behind.port, f"{method} /echo HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    assert (seen["method"], seen["body"]) == (method, "")


@pytest.mark.parametrize(
    "target",
    ["/echo/a%2Fb?x=%2F", "/echo//b/./../c?", "/echo/%25%32%35/%E2%82%AC?q=a+b%20c&q=", "/echo/;p=1,2/@:!$&'()*~?=&&==",
     "/echo/" + "x" * 20_000 + "?" + "y" * 20_000, "/echo/a%00b?%0d%0a"],
)  # fmt: skip
def test_paths_and_queries_arrive_byte_for_byte(behind: Through, target: str) -> None:
    seen = echoed(behind.port, f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    assert seen["target"] == target


def test_headers_arrive_byte_for_byte_repeated_and_in_their_order_both_ways(behind: Through) -> None:
    head = b"GET /echo HTTP/1.1\r\nHost: a.b:1\r\nX-A: 1\r\nX-B: \xe9\xff\r\nX-A: 2\r\nConnection: x-a, keep-alive\r\n"
    with Line(behind.port) as line:
        _, lines, body = line.ask(head + b"X-Utf: \xe2\x82\xac\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n")
    assert json.loads(body)["headers"] == [
        ["host", "a.b:1"], ["x-a", "1"], ["x-b", "éÿ"], ["x-a", "2"], ["x-utf", "\xe2\x82\xac"],
        ["cookie", "a=1"], ["cookie", "b=2"],
    ]  # fmt: skip
    back = [each for each in lines if not each.startswith((b"content-length", b"date", b"server"))]
    assert back == [b"x-twice: 1", b"x-twice: 2", b"x-latin: \xe9", b"set-cookie: a=1", b"set-cookie: b=2"]
    assert sorted(each.split(b":")[0] for each in lines if each not in back) == [b"content-length", b"date", b"server"]


def test_who_asks_is_seen_as_if_they_had_come_in_directly_and_nobody_can_say_they_are_another(behind: Through) -> None:
    forged = b"X-Homeport-Peer: 10.0.0.1 1 10.0.0.2 2\r\n"
    with Line(behind.port) as line:
        own = list(line.socket.getsockname())
        seen = json.loads(line.ask(b"GET /echo HTTP/1.1\r\nHost: h\r\n" + forged + b"\r\n")[2])
        assert (seen["client"], seen["server"], seen["scheme"]) == (own, ["127.0.0.1", behind.port], "http")
        assert seen["headers"] == [["host", "h"]]
        gateway = b"X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: mlflow.org\r\n"
        seen = json.loads(line.ask(b"GET /echo HTTP/1.1\r\nHost: h\r\n" + gateway + b"\r\n")[2])
    assert (seen["client"][0], seen["scheme"]) == ("203.0.113.9", "https")
    assert ["x-forwarded-host", "mlflow.org"] in seen["headers"]


@pytest.mark.parametrize("status", [200, 201, 204, 304, 404, 500])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_status_comes_back_and_head_has_no_body(behind: Through, method: str, status: int) -> None:
    with Line(behind.port) as line:
        line.say(f"{method} /status/{status} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        head = line.until(b"\r\n\r\n")
        bodiless = method == "HEAD" or status in {204, 304}
        assert head.startswith(f"HTTP/1.1 {status} ".encode())
        assert (b"content-length: 2\r\n" in head) == (status not in {204, 304})
        if not bodiless:
            assert line.take(2) == b"ok"
        # The connection goes on, and nothing of a body stands before the next answer.
        assert line.ask(b"GET /status/200 HTTP/1.1\r\nHost: h\r\n\r\n")[::2] == (200, b"ok")


def test_a_packed_answer_stays_packed(behind: Through) -> None:
    with Line(behind.port) as line:
        status, lines, body = line.ask(b"GET /gzip HTTP/1.1\r\nHost: h\r\n\r\n")
    assert (status, body[:2]) == (200, b"\x1f\x8b")
    assert b"content-encoding: gzip" in lines


def test_a_body_in_chunks_arrives_in_chunks(behind: Through) -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    seen = echoed(behind.port, head + b"3\r\nabc\r\n2;x=1\r\nde\r\n0\r\n\r\n")
    assert (seen["body"], seen["headers"][1:]) == ("abcde", [["transfer-encoding", "chunked"]])


def test_nobody_says_they_are_another_behind_the_last_chunk(behind: Through) -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"
    seen = echoed(behind.port, head + b"X-A: 1\r\nX-Homeport-Peer: 10.0.0.1 1 - -\r\n\r\n")
    assert (seen["body"], seen["client"][0]) == ("abc", "127.0.0.1")


def test_requests_sent_ahead_are_answered_in_turn(behind: Through) -> None:
    with Line(behind.port) as line:
        line.say(b"".join(b"GET /echo/%d HTTP/1.1\r\nHost: h\r\n\r\n" % number for number in range(5)))
        found = [json.loads(line.ask(b"")[2])["target"] for _ in range(5)]
    assert found == [f"/echo/{number}?" for number in range(5)]


def test_a_client_that_asks_before_it_sends_its_body_is_told_to(behind: Through) -> None:
    with Line(behind.port) as line:
        line.say(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert line.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert json.loads(line.ask(b"abc")[2])["body"] == "abc"


def test_an_answer_that_comes_before_the_body_is_sent_is_passed_back_at_once(behind: Through) -> None:
    with Line(behind.port) as line:
        line.say(b"PUT /early HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000)
        status, _, body = line.ask(b"")
        assert (status, body) == (413, b"too large")
        line.say(b"x" * 999_000)  # what a client sends on is read, and the connection stays of use
        assert line.ask(b"GET /status/200 HTTP/1.1\r\nHost: h\r\n\r\n")[0] == 200


def test_each_piece_of_a_stream_arrives_at_once(behind: Through) -> None:
    """The second is not sent before the first was seen, so nothing may hold the first back."""
    with Line(behind.port) as line:
        line.say(b"GET /sse HTTP/1.1\r\nHost: h\r\n\r\n")
        assert b"text/event-stream" in line.until(b"data: 1\n\n")
        assert requests.post(f"{behind.url}/go", timeout=20).status_code == 204
        line.until(b"data: 2\n\n")


def test_each_piece_of_a_body_goes_on_at_once(behind: Through) -> None:
    with Line(behind.port) as line:
        line.say(b"POST /slow-count HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        eventually(lambda: behind.seen()["received"] == 3)
        line.say(b"0\r\n\r\n")
        requests.post(f"{behind.url}/go", timeout=20)
        line.until(b"\r\n\r\n1\r\n3\r\n0\r\n\r\n")


def test_a_client_that_stops_reading_stops_the_server_and_no_memory_fills(behind: Through) -> None:
    size = 200 * MIB
    before = behind.front.mebibytes
    with Line(behind.port) as line:
        line.say(b"GET /big?n=%d HTTP/1.1\r\nHost: h\r\n\r\n" % size)
        line.until(b"\r\n\r\n")

        def stopped() -> bool:
            sent = behind.seen()["sent"]
            return 0 < sent == behind.seen()["sent"] == behind.seen()["sent"]

        eventually(stopped)
        assert behind.seen()["sent"] < 32 * MIB  # what the system's own buffers hold, and a little more
        left = size - len(line.kept)
        line.kept = b""
        while left:
            left -= len(line.socket.recv(MIB))
            assert behind.front.mebibytes < before + 20


def test_a_server_that_stops_reading_stops_the_client_and_no_memory_fills(behind: Through) -> None:
    size, sent = 200 * MIB, 0
    before = behind.front.mebibytes
    with Line(behind.port) as line:
        line.say(b"POST /slow-count HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size)
        line.socket.settimeout(1.0)
        piece = b"x" * MIB
        with contextlib.suppress(TimeoutError):
            while sent < size:
                sent += line.socket.send(piece[: size - sent])
        assert sent < 32 * MIB
        assert behind.front.mebibytes < before + 20
        line.socket.settimeout(30)
        requests.post(f"{behind.url}/go", timeout=20)
        while sent < size:
            sent += line.socket.send(piece[: size - sent])
            assert behind.front.mebibytes < before + 20
        line.until(b"\r\n%d\r\n0\r\n\r\n" % size)


@pytest.mark.parametrize("path", ["hang", "stream", "big?n=1000000000"])
def test_a_client_that_leaves_ends_the_servers_work(behind: Through, path: str) -> None:
    before = behind.seen()["gone"]
    with Line(behind.port) as line:
        line.say(f"GET /{path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        if path != "hang":
            line.until(b"\r\n\r\n")
    eventually(lambda: behind.seen()["gone"] == before + 1, 10)


def test_a_client_that_leaves_in_the_middle_of_its_body_ends_the_servers_work(behind: Through) -> None:
    before = behind.seen()["gone"]
    with Line(behind.port) as line:
        line.say(b"POST /hang HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf")
    eventually(lambda: behind.seen()["gone"] == before + 1, 10)


def test_a_websocket_is_refused(behind: Through) -> None:
    with Line(behind.port) as line:
        upgrade = (
            b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eHh4\r\n\r\n"
        )
        assert line.ask(b"GET /echo HTTP/1.1\r\nHost: h\r\n" + upgrade)[0] == 403


@pytest.mark.parametrize(
    "path", ["/homeport/internal/plan", "/homeport%2Finternal/plan", "/homeport/%2569nternal/plan"]
)
def test_the_private_servers_questions_are_nobodys_to_ask(behind: Through, path: str) -> None:
    with Line(behind.port) as line:
        assert line.ask(f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{{}}".encode())[0] == 404


def test_many_requests_at_once_share_a_few_connections_and_lose_none(behind: Through) -> None:
    def ask(number: int) -> bool:
        with requests.Session() as session:
            urls = [f"{behind.url}/echo/{number}/{turn}" for turn in range(20)]
            return all(session.post(url, data=url, timeout=30).json()["body"] == url for url in urls)

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(32)))


def test_a_half_open_client_does_not_hold_the_front_up(behind: Through) -> None:
    lines = [Line(behind.port) for _ in range(50)]
    for line in lines:
        line.say(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nab")
    assert requests.get(f"{behind.url}/status/200", timeout=10).text == "ok"
    for line in lines:
        line.socket.shutdown(socket.SHUT_RDWR)
        line.close()


def test_mlflows_own_metrics_are_reached_where_a_user_wants_them(behind: Through) -> None:
    assert "homeport_tracking_fast_lane 0.0" in requests.get(f"{behind.url}/metrics", timeout=20).text
    with through(prometheus_multiproc_dir="/nowhere") as stock:
        assert requests.get(f"{stock.url}/metrics", timeout=20).json()["target"] == "/metrics?"
