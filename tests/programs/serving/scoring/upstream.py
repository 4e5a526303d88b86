"""`mlflow models serve` itself, as a process: the answers that ours are held against."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import requests

ROOT = Path(__file__).parents[4]
_PATIENCE = 120.0
_RAISED = "Encountered an unexpected error while evaluating the model"


class Outcome(NamedTuple):
    """What came of a request: 2, 4 or 5 for its status, the parsed predictions, and whether the model raised."""

    status: int
    predictions: Any = None
    raised: bool = False


class Upstream:
    """A scoring server of MLflow's.

    Args:
        url: where it listens.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False

    def ask(self, content_type: str | None, body: bytes) -> Outcome:
        """Its outcome for one request."""
        headers = {} if content_type is None else {"Content-Type": content_type}
        reply = self._session.post(f"{self._url}/invocations", data=body, headers=headers, timeout=60)
        if reply.status_code != 200:
            return Outcome(reply.status_code // 100, raised=_RAISED in reply.text)
        return Outcome(2, without_nan(reply.json()))

    def pings(self) -> bool:
        """Whether it answers."""
        try:
            return self._session.get(f"{self._url}/ping", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False


def without_nan(value: Any) -> Any:
    """The same JSON with null for what is no JSON: upstream writes NaN and Infinity as they are."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return {key: without_nan(item) for key, item in value.items()} if isinstance(value, dict) else value


@contextmanager
def serving(path: Path, log: Path) -> Iterator[Callable[[], Upstream]]:
    """Start a server for a model; what is given waits until it answers."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(path), "--env-manager", "local"]
    environ = {
        **os.environ,
        "PYTHONPATH": str(ROOT),  # the models' classes
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "PYTHONWARNINGS": "ignore",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "-h", "127.0.0.1", "-p", str(port)],
            stdout=output, stderr=subprocess.STDOUT, env=environ, start_new_session=True,
        )  # fmt: skip

    def wait() -> Upstream:
        server, end = Upstream(f"http://127.0.0.1:{port}"), time.monotonic() + _PATIENCE
        while not server.pings():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        return server

    try:
        yield wait
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # the session is its own: the shell and uvicorn below it
        process.wait()


def compact(document: Any) -> bytes:
    """JSON as Python's own module writes it, NaN included."""
    return json.dumps(document).encode()
