from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from homeport.errors import HomeportError
from homeport.training.connection import probe, tracking_uri, without_password


@pytest.fixture
def answering() -> Iterator[tuple[str, list[int]]]:
    """A loopback server's address, and the status codes it answers /health with."""
    statuses: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(statuses.pop(0) if self.path == "/mlflow/health" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/mlflow/", statuses
        server.shutdown()
        thread.join()


def test_an_unset_tracking_uri_is_refused_with_the_command_that_sets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in (None, "", "  "):
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        if setting is not None:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", setting)
        with pytest.raises(HomeportError) as caught:
            tracking_uri()
        assert (caught.value.code, caught.value.exit_code) == ("TRACKING_URI_UNSET", 2)
        assert "homeport train" in caught.value.fix
        assert "homeport run --" in caught.value.fix


def test_an_absent_server_is_refused_with_the_reason_and_without_the_password() -> None:
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(HomeportError) as caught:
            probe(f"http://user:hush@127.0.0.1:{taken.getsockname()[1]}")
    assert caught.value.code == "TRACKING_UNREACHABLE"
    assert "Connection refused" in caught.value.block()
    assert "hush" not in caught.value.block()


@pytest.mark.parametrize("status", [200, 401, 404])
def test_a_server_that_answers_is_there_whatever_it_thinks_of_the_question(
    status: int, answering: tuple[str, list[int]]
) -> None:
    uri, statuses = answering
    statuses.append(status)
    probe(uri)
    assert statuses == []


def test_a_server_that_is_not_ready_is_refused_with_its_status(answering: tuple[str, list[int]]) -> None:
    uri, statuses = answering
    statuses.append(503)
    with pytest.raises(HomeportError) as caught:
        probe(uri)
    assert caught.value.code == "TRACKING_NOT_READY"
    assert "-> 503" in caught.value.block()


def test_a_database_uri_needs_no_server() -> None:
    probe("sqlite:///mlflow.db")


def test_an_address_is_shown_without_its_password() -> None:
    assert without_password("https://user:p@ss@host:5000/base") == "https://host:5000/base"
    assert without_password("http://127.0.0.1:5000") == "http://127.0.0.1:5000"
