"""The serving page as a browser shows it: Chromium without a window, on a served model and on hostile names."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest

from homeport.serving import page
from tests.e2e.served import Serving

pytestmark = pytest.mark.system

HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
# Presses the first Predict as a user does; appended by the test's own server, which sends no policy with this page.
PRESS = "<script>document.querySelector('form button').click()</script>"


@dataclass
class Shown:
    """What Chromium made of a page."""

    dom: str
    console: list[str]


@pytest.fixture
def browse(chromium: str, tmp_path: Path) -> Callable[[str], Shown]:
    """Opens a page and waits until its scripts have run."""

    def show(url: str) -> Shown:
        done = subprocess.run(
            [
                chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--enable-logging=stderr", f"--user-data-dir={tmp_path / uuid4().hex}", "--window-size=1000,1200",
                "--virtual-time-budget=4000", "--dump-dom", url,
            ],
            capture_output=True, text=True, timeout=180, check=False, env={**os.environ, "HOME": str(tmp_path)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return Shown(done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line])

    return show


@dataclass
class Fake:
    """A server that shows our page for a status of the test's choosing."""

    url: str
    status: dict[str, Any] = field(default_factory=dict)
    more: str = ""
    asked: list[tuple[str, bytes]] = field(default_factory=list)


@pytest.fixture
def fake() -> Iterator[Fake]:
    """The page behind a plain HTTP server, with its own headers."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/status":
                self._send(json.dumps(shown.status), "application/json", {})
            else:
                self._send(page.render(shown.status) + shown.more, "text/html", {} if shown.more else page.headers())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            shown.asked.append((self.path, body))
            self._send('{"predictions": [41.5]}', "application/json", {"X-Model-Version": "7"})

        def _send(self, text: str, kind: str, headers: dict[str, str]) -> None:
            self.send_response(200)
            for name, value in {"content-type": f"{kind}; charset=utf-8", **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    shown = Fake(f"http://127.0.0.1:{server.server_port}")
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield shown
    server.shutdown()
    thread.join()
    server.server_close()


def status(**models: Any) -> dict[str, Any]:
    model = {
        "name": "m", "version": "7", "aliases": ["champion"], "default": True, "since": None, "state": "serving",
        "predictor": "pyfunc", "example": {"inputs": [1]}, "warnings": [], **models,
    }  # fmt: skip
    return {
        "service": "homeport-serving", "version": "1", "ready": True, "workers": 1, "models": [model], "failures": [],
        "registry": {"reachable": True, "since": None, "error": None, "uri": "file:///x"}, "traffic": [],
    }  # fmt: skip


def test_the_page_of_a_platform_shows_its_models_without_a_complaint(
    browse: Callable[[str], Shown], serving: Serving
) -> None:
    shown = browse(serving.url)
    assert shown.console == []
    for text in ("wine-quality", "penguins", "@champion", "fixed acidity", "/models/wine-quality/invocations"):
        assert text in shown.dom


def test_a_hostile_name_is_text(browse: Callable[[str], Shown], fake: Fake) -> None:
    fake.status = status(name=HOSTILE, aliases=[HOSTILE], warnings=[HOSTILE], detail=HOSTILE)
    shown = browse(fake.url)
    assert shown.console == []
    assert "<title>Homeport serving</title>" in shown.dom
    assert "<img" not in shown.dom
    assert "&lt;img src=x" in shown.dom


def test_predict_sends_the_input_example_and_shows_the_answer(browse: Callable[[str], Shown], fake: Fake) -> None:
    fake.status = status(name="a/b model")
    fake.more = PRESS
    shown = browse(fake.url)
    assert [(path, json.loads(body)) for path, body in fake.asked] == [
        ("/models/a%2Fb%20model/invocations", {"inputs": [1]})
    ]
    assert "41.5" in shown.dom
    assert "version 7 ·" in shown.dom


def test_an_empty_server_says_how_to_begin(browse: Callable[[str], Shown], fake: Fake) -> None:
    fake.status = {**status(), "models": []}
    shown = browse(fake.url)
    assert shown.console == []
    assert '<div id="empty" class="card">' in shown.dom
    assert "homeport train penguins" in shown.dom
