from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from homeport.serving.exchange import Exchange
from homeport.serving.routes import Route
from homeport.serving.servable import Dialect
from homeport.serving.tracing import Tracing


@pytest.fixture
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """A collector on loopback: its URL and the bodies it got."""
    got: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_span_reaches_the_collector_as_a_child_of_the_callers(
    collector: tuple[str, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, got = collector
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    tracing = Tracing.from_environ()
    assert tracing is not None
    exchange = Exchange(Route(Dialect.MLFLOW), "POST", "/invocations", b"", request_id="r-1", seconds=0.5, status=503)
    exchange.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    tracing.answered(exchange)
    tracing.stop()
    sent = b"".join(got)
    assert b"/invocations" in sent
    assert b"homeport-serving" in sent
    assert bytes.fromhex("0af7651916cd43dd8448eb211c80319c") in sent
    assert bytes.fromhex("b7ad6b7169203331") in sent


def test_without_a_collector_nothing_is_traced() -> None:
    assert Tracing.from_environ({}) is None
    assert Tracing.from_environ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}) is None
