"""Hot calls take a shorter way through HTTP than the rest: whatever bytes come in, the answers are uvicorn's own."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.programs.database.programs import eventually
from tests.programs.tracking.front.started import Line, Through, through

_LAST = b"GET /status/200 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_DATE = re.compile(rb"date: [^\r]*\r\n", re.IGNORECASE)
_PLACE = re.compile(rb'"client": .*')  # the ports and the process of an echo
_LARGEST = 2 * 2**20


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Through, Through]]:
    """The front, and the front below uvicorn's own protocol."""
    with through() as ours, through(PLAIN="1") as uvicorns:
        yield ours, uvicorns


def answers(port: int, pieces: list[bytes], pause: float = 0.0) -> list[tuple[bytes, list[bytes], bytes]]:
    """Every answer on one connection: first line, sorted header lines, body."""
    with Line(port) as line:
        for piece in pieces:
            line.say(piece)
            time.sleep(pause)  # so that they arrive one by one
        rest = _DATE.sub(b"", line.rest())
    found = []
    while rest:
        head, _, rest = rest.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        named = dict(each.lower().split(b": ", 1) for each in lines)
        if b"content-length" in named:
            size = int(named[b"content-length"])
            body, rest = rest[:size], rest[size:]
        elif b"transfer-encoding" in named:
            body, _, rest = rest.partition(b"0\r\n\r\n")
        else:
            body = b""
        kept = [each.lower() for each in lines if not (b"echo" in body and each.lower().startswith(b"content-length"))]
        found.append((first, sorted(kept), _PLACE.sub(b"", body)))
    return found


def request(method: str, target: str, body: bytes | None, *headers: str, version: str = "1.1") -> bytes:
    lines = [f"{method} {target} HTTP/{version}", "Host: localhost", *headers]
    if body is not None and not any(each.lower().startswith("transfer-encoding") for each in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")


@pytest.mark.parametrize(
    "sent",
    [
        request("POST", "/echo/answered", b"abc"),
        request("POST", "/echo/answered", b""),
        request("POST", "/echo/answered", None),
        request("POST", "/echo/answered", b"abc", "Connection: close"),
        request("POST", "/echo/answered", b"abc", version="1.0"),
        request("POST", "/echo/answered", b"abc", "Connection: keep-alive", version="1.0"),
        request("POST", "/echo/answered", b"3\r\nabc\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
        request("POST", "/echo/answered", b"abc", "Transfer-Encoding: identity, chunked"),
        request("POST", "/echo/answered?a=1&b=%2F", b"abc"),
        request("POST", "/echo/left?a=1&b=%2F#part", b"abc"),
        request("POST", "/echo/asked?a=1&b=%2F#part", b"abc"),
        request("POST", "/echo/asked?a=1?b=2", b"abc"),
        request("POST", "/echo/asked?", b"abc"),
        request("POST", "/echo/left#part", b"abc"),
        request("POST", "http://localhost/echo/left", b"abc"),
        request("POST", "//echo/left", b"abc"),
        request("POST", "/echo/l%65ft", b"abc"),
        request("POST", "/echo/left/", b"abc"),
        request("GET", "/echo/left", b"a body of a GET"),
        request("HEAD", "/echo/left", None),
        request("POST", "/echo/left", b"abc", "Expect: 100-continue"),
        request("POST", "/echo/answered", b"abc", "Expect: 100-continue"),
        request("POST", "/echo/answered", b"abc", "Content-Length: 3"),
        request("POST", "/echo/answered", b"abc", "Content-Length: 4"),
        request("POST", "/echo/answered", None, "Content-Length: -1"),
        request("POST", "/echo/answered", None, "Content-Length: 0000000000000"),
        request("POST", "/echo/answered", b"x" * _LARGEST),
        request("POST", "/echo/answered", b"x" * (_LARGEST + 1)),
        request(
            "POST", "/echo/answered", b"300000\r\n%b\r\n0\r\n\r\n" % (b"x" * 0x300000), "Transfer-Encoding: chunked"
        ),
        request("POST", "/echo/left", b"x" * 200_000),
        request("POST", "/echo/refused", b""),
        request("POST", "/echo/failing-write", b"1"),
        request("GET", "/echo/failing-read", None),
        request("POST", "/echo/search", b"1"),
        b"POST /echo/left HTTP/1.1\r\nHost: localhost\r\nContent-Length : 1\r\n\r\na",
        b"POST /echo/left HTTP/1.1\r\nHost: localhost\r\nX-A: 1\r\n folded\r\nContent-Length: 1\r\n\r\na",
        b"POST /echo/left HTTP/1.1\nHost: localhost\nContent-Length: 1\n\na",
        b"POST  /echo/left HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /echo/left HTTP/1.1\r\nHost: localhost\r\nX-\xff: 1\r\nContent-Length: 0\r\n\r\n",
        b"POST /echo/left HTTP/1.1\r\nHost: localhost\r\nX-A: \xff\xfe\r\nContent-Length: 0\r\n\r\n",
        b"POST /echo/left?a=\xc3\xa9 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
        b"\r\n\r\n" + request("POST", "/echo/answered", b"abc"),
        b"nothing of the kind\r\n\r\n",
    ],
)
def test_a_request_is_answered_as_by_uvicorn(both: tuple[Through, Through], sent: bytes) -> None:
    ours, uvicorns = (answers(each.port, [sent, _LAST]) for each in both)
    assert ours == uvicorns


@pytest.mark.parametrize("other", ["websocket", "h2c"])
@pytest.mark.parametrize("target", ["left", "asked?a=1", "elsewhere"])
def test_who_asks_for_another_protocol_is_answered_as_by_uvicorn(
    both: tuple[Through, Through], other: str, target: str
) -> None:
    """What comes in one piece with such a request is lost in uvicorn: so one request a connection."""
    sent = request("GET", f"/echo/{target}", None, f"Upgrade: {other}", "Connection: Upgrade")
    found = []
    for each in both:
        with Line(each.port) as line:
            status, headers, body = line.ask(sent)
            found.append((status, len(headers), _PLACE.sub(b"", body)))
    assert found[0] == found[1]


REQUESTS = st.builds(
    lambda name, body, chunked: (
        request("POST", f"/echo/{name}", b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body), "Transfer-Encoding: chunked")
        if chunked and body
        else request("POST", f"/echo/{name}", body)
    ),
    st.sampled_from(["answered", "left", "refused", "failing-write", "search", "elsewhere", "answered"]),
    st.binary(max_size=6) | st.sampled_from([b"x" * 70_000, b"y" * 300_000]),
    st.integers(0, 5).map(lambda number: number == 0),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(REQUESTS, min_size=1, max_size=6), st.lists(st.integers(0, 800), max_size=5))
def test_pipelined_and_cut_anywhere_they_are_answered_in_turn(
    both: tuple[Through, Through], sent: list[bytes], cuts: list[int]
) -> None:
    whole = b"".join(sent) + _LAST
    places = sorted({0, *(cut % len(whole) for cut in cuts), len(whole)})
    pieces = [whole[start:end] for start, end in itertools.pairwise(places)]
    ours, uvicorns = (answers(each.port, pieces, pause=0.002) for each in both)
    assert len(ours) == len(sent) + 1
    assert ours == uvicorns


def test_a_server_that_is_told_to_end_finishes_the_hot_call_first_and_then_closes() -> None:
    with through() as front, Line(front.port) as idle, Line(front.port) as line:
        assert idle.ask(request("POST", "/echo/answered", b"1"))[0] == 200
        line.say(request("POST", "/echo/long", b"last"))
        eventually(lambda: requests.get(f"{front.url}/echo/done", timeout=20).json() == ["last"])  # it is under way
        front.front.process.terminate()
        status, headers, _ = line.ask(b"")
        assert (status, line.rest(), idle.rest()) == (200, b"", b"")
        assert b"connection: close" in [each.lower() for each in headers]
        assert front.front.process.wait(10) in {0, -15}
