"""The front before servers of a test's own, as real processes, and a client that writes bytes."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import requests

from tests.programs.database.programs import environment, eventually, free_port

HERE = "tests.programs.tracking.front"


class Process:
    """`python -m MODULE WORDS`, with its output in a file."""

    def __init__(self, module: str, *words: str, log: Path, **env: str) -> None:
        self.log = log
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *words], env=environment(env), stdout=out, stderr=out
            )

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(20)

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def mebibytes(self) -> float:
        """What it holds of memory."""
        return float(psutil.Process(self.process.pid).memory_info().rss / 2**20)


class Through:
    """A front, and the servers behind it, which may be started later."""

    def __init__(self, servers: int = 1, patience: float = 20.0, **env: str) -> None:
        self.room = Path(tempfile.mkdtemp(prefix="through-"))  # short: a socket's path has a limit
        self.sockets = [str(self.room / f"{number}.sock") for number in range(servers)]
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.peers: dict[int, Process] = {}
        words = [str(self.port), str(patience), *self.sockets]
        self.front = Process(f"{HERE}.through", *words, log=self.room / "front.log", **env)

    def up(self) -> Through:
        """Wait until the front listens."""
        eventually(lambda: listens(self.port))
        return self

    def serve(self, number: int = 0, keep: int = 75) -> Process:
        """Start a server behind, and wait until it listens."""
        if number in self.peers:
            self.peers[number].end()
        peer = Process(f"{HERE}.peer", self.sockets[number], str(keep), log=self.room / "peer.log")
        self.peers[number] = peer
        eventually(lambda: listens(self.sockets[number]))
        return peer

    def end(self) -> None:
        for each in (self.front, *self.peers.values()):
            each.end()
        shutil.rmtree(self.room)

    def seen(self) -> dict[str, int]:
        """What the server behind counted."""
        found: dict[str, int] = requests.get(f"{self.url}/seen", timeout=20).json()
        return found


@contextlib.contextmanager
def through(servers: int = 1, **env: Any) -> Iterator[Through]:
    """A front with its servers started."""
    made = Through(servers, **env)
    try:
        for number in range(servers):
            made.serve(number)
        yield made.up()
    finally:
        made.end()


def listens(place: int | str) -> bool:
    """Whether somebody listens on that port or unix socket."""
    family, address = (socket.AF_INET, ("127.0.0.1", place)) if isinstance(place, int) else (socket.AF_UNIX, place)
    with socket.socket(family) as probe:
        return probe.connect_ex(address) == 0


class Line:
    """A connection on which bytes are written as they are."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.kept = b""

    def say(self, data: bytes) -> None:
        self.socket.sendall(data)

    def until(self, end: bytes) -> bytes:
        """All bytes up to these, with them."""
        while end not in self.kept:
            piece = self.socket.recv(65536)
            assert piece, f"ended after {self.kept!r}"
            self.kept += piece
        found, self.kept = self.kept[: self.kept.index(end) + len(end)], self.kept[self.kept.index(end) + len(end) :]
        return found

    def take(self, size: int) -> bytes:
        """So many bytes."""
        while len(self.kept) < size:
            piece = self.socket.recv(65536)
            assert piece, f"ended after {self.kept!r}"
            self.kept += piece
        found, self.kept = self.kept[:size], self.kept[size:]
        return found

    def rest(self) -> bytes:
        """All that comes until the end."""
        with contextlib.suppress(ConnectionResetError):
            while piece := self.socket.recv(65536):
                self.kept += piece
        return self.kept

    def ask(self, request: bytes) -> tuple[int, list[bytes], bytes]:
        """Status, header lines and body of the answer, which must have a length."""
        self.say(request)
        first, *lines = self.until(b"\r\n\r\n").strip().split(b"\r\n")
        length = next(int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length"))
        return int(first.split()[1]), lines, self.take(length)

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def echoed(port: int, request: bytes) -> dict[str, Any]:
    """What the server behind saw of it."""
    with Line(port) as line:
        status, _, body = line.ask(request)
    assert status == 200, body
    found: dict[str, Any] = json.loads(body)
    return found
