"""A steady rate of requests from inside of the node, each of them noted: through the Services, as pods call each other.

As a program (`python -m tests.cluster.traffic FILE RATE`, a JSON request on stdin) it sends until FILE.stop is there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import requests

from tests.e2e.harness import eventually

_ROOT = Path(__file__).resolve().parents[2]
_CLIENTS = 8
_MOST = 900.0  # seconds, should nobody stop it


@dataclass(frozen=True)
class Request:
    """What is sent, again and again. `keep`: over a connection each client keeps, else over a new one every time."""

    url: str
    headers: Mapping[str, str]
    body: Any = None
    keep: bool = False


class Traffic:
    """Sends a request at a steady rate while the block lasts."""

    def __init__(self, inside: list[str], request: Request, directory: Path, rate: float) -> None:
        self._inside, self._request, self._rate = inside, request, rate
        self._file = directory / f"traffic-{id(self)}"
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [*self._inside, sys.executable, "-m", "tests.cluster.traffic", str(self._file), str(self._rate)],
            stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(_ROOT)},
        )  # fmt: skip
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(self._request.__dict__))
        self._process.stdin.close()
        eventually(lambda: len(self.answers()) > 10, 60, "traffic flows")
        return self

    def __exit__(self, *_exc: object) -> None:
        assert self._process is not None
        self._file.with_suffix(".stop").touch()
        try:
            self._process.wait(timeout=90)
        finally:
            self._process.kill()
            self._process.wait()
            assert self._process.stderr is not None
            self._process.stderr.close()

    def answers(self) -> list[dict[str, Any]]:
        """Every request so far: when it was sent, its status or error, how long it took."""
        text = self._file.read_text().rpartition("\n")[0] if self._file.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def failed(self) -> list[dict[str, Any]]:
        """The requests that were not answered with 200."""
        return [each for each in self.answers() if each["status"] != 200]


def _send(request: Request, file: Path, rate: float) -> None:
    out, stop, begin = file.open("w", buffering=1), file.with_suffix(".stop"), time.monotonic()

    def client(number: int) -> None:
        session, turn = requests.Session(), number
        while not stop.exists() and time.monotonic() - begin < _MOST:
            time.sleep(max(0.0, begin + turn / rate - time.monotonic()))
            turn += _CLIENTS
            sent, wall = time.monotonic(), time.time()
            headers = dict(request.headers) if request.keep else {**request.headers, "connection": "close"}
            status: int | str
            try:
                method = "GET" if request.body is None else "POST"
                status = session.request(
                    method, request.url, json=request.body, headers=headers, timeout=60
                ).status_code
            except requests.RequestException as error:
                status = repr(error)
            out.write(json.dumps({"at": wall, "status": status, "seconds": time.monotonic() - sent}) + "\n")

    with out, ThreadPoolExecutor(_CLIENTS) as pool:
        for each in [pool.submit(client, number) for number in range(_CLIENTS)]:
            each.result()


if __name__ == "__main__":
    _send(Request(**json.load(sys.stdin)), Path(sys.argv[1]), float(sys.argv[2]))
