"""The probe of health checks against real sockets: one answer each, and what it says of it."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from homeport.probe import main, probe

Answering = Callable[[bytes], str]


@pytest.fixture
def answering() -> Iterator[Answering]:
    """Starts servers that give one answer to one request; gives their addresses."""
    threads: list[threading.Thread] = []

    def start(content: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))

        def answer() -> None:
            with listener, listener.accept()[0] as connection:
                connection.recv(65536)
                connection.sendall(content)

        threads.append(threading.Thread(target=answer))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/ready"

    yield start
    for thread in threads:
        thread.join(10)


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "299"])
def test_a_good_answer_is_good(answering: Answering, status: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([answering(f"HTTP/1.1 {status}\r\n\r\n".encode())]) == 0
    assert capsys.readouterr().out == ""


def test_any_other_answer_is_told_with_its_body(answering: Answering, capsys: pytest.CaptureFixture[str]) -> None:
    url = answering(b"HTTP/1.1 503 Service Unavailable\r\n\r\ndatabase:\r\n  does not answer")

    assert main([url]) == 1
    assert capsys.readouterr().out == "GET /ready -> 503: database: does not answer\n"


def test_a_redirect_is_no_good_answer(answering: Answering) -> None:
    assert probe(answering(b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n")) == "GET /ready -> 302: "


def test_a_long_body_is_shortened(answering: Answering) -> None:
    reason = probe(answering(b"HTTP/1.1 500 No\r\n\r\n" + b"x" * 70_000))

    assert reason is not None
    assert len(reason) < 450
    assert reason.endswith("x…")


def test_a_body_in_any_bytes_is_told(answering: Answering, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([answering("HTTP/1.1 500 No\r\n\r\nTür ".encode() + b"\xff")]) == 1
    assert capsys.readouterr().out == "GET /ready -> 500: T\\xfcr \\ufffd\n"


@pytest.mark.parametrize("content", [b"", b"SSH-2.0\r\n", b"HTTP/1.1\r\n\r\n"])
def test_what_is_no_http_is_not_good(answering: Answering, content: bytes) -> None:
    reason = probe(answering(content))

    assert reason is not None
    assert "no HTTP" in reason


def test_a_server_that_says_nothing_is_waited_for_no_longer_than_asked() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        assert probe(url, timeout=0.05) == f"no answer from {url} in 0.05 s"


def test_a_closed_port_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    assert probe(f"http://127.0.0.1:{port}/") == f"http://127.0.0.1:{port}/: Connection refused"
    assert probe(f"tcp://127.0.0.1:{port}") == f"tcp://127.0.0.1:{port}: Connection refused"


def test_an_open_port_is_enough_for_tcp() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert probe(f"tcp://127.0.0.1:{listener.getsockname()[1]}") is None


def test_a_host_by_name_and_one_of_the_newer_kind_can_be_asked() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        assert probe(f"tcp://[::1]:{listener.getsockname()[1]}") is None
    assert "nowhere.invalid" in (probe("tcp://nowhere.invalid:1") or "")


@pytest.mark.parametrize(
    "arguments", [[], ["a", "b"], ["https://127.0.0.1:1/"], ["http://127.0.0.1/"], ["x"], ["tcp://:1"], ["http://h:p/"],
                  ["http://h:1/a b"], ["http://h:1/\r\nX: y"]],
)  # fmt: skip
def test_what_is_no_address_is_refused_with_the_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 1
    assert capsys.readouterr().out.startswith("usage: ")


def test_the_program_imports_next_to_nothing(answering: Answering) -> None:
    url = answering(b"HTTP/1.1 500 No\r\n\r\nno")
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "homeport.probe", url], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (1, "GET /ready -> 500: no\n")
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not imported & {
        "json",
        "urllib",
        "urllib.parse",
        "http.client",
        "ssl",
        "email",
        "asyncio",
        "homeport.errors",
    }
