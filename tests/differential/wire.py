"""Requests as bytes on a socket, so that odd ones reach a server as they were made. Refuses to know what is asked."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from urllib.parse import urlsplit

_IDLE = 2.0  # seconds; uvicorn ends a silent connection after five
_PATIENCE = 60.0
# What the two must agree on besides status and body.
_TOLD = (
    "access-control-allow-credentials", "access-control-allow-headers", "access-control-allow-methods",
    "access-control-allow-origin", "allow", "location", "set-cookie", "www-authenticate", "x-content-type-options",
    "x-frame-options",
)  # fmt: skip


@dataclass(frozen=True)
class Request:
    """One request; `@…@` in target and body stands for what the server gave earlier (`memory.py`)."""

    method: str
    target: str
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"),)
    chunked: bool = False

    def __str__(self) -> str:
        body = "" if self.body is None else f" {self.body[:300]!r}{'…' if len(self.body) > 300 else ''}"
        odd = {name: value for name, value in self.headers if value != "application/json"}
        return f"{self.method} {self.target}{body}{f' {odd}' if odd else ''}{' chunked' if self.chunked else ''}"


@dataclass(frozen=True)
class Reply:
    """One response."""

    status: int
    kind: str
    body: bytes
    told: dict[str, str] = field(default_factory=dict)


class Wire:
    """One keep-alive connection to a server, made anew where it has ended."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "", parts.port or 80
        self._socket: socket.socket | None = None
        self._used = 0.0
        self._method = ""

    def send(self, request: Request) -> None:
        """Send, and do not wait."""
        if self._socket is not None and time.monotonic() - self._used > _IDLE:
            self.close()
        if self._socket is None:
            self._socket = socket.create_connection((self.host, self.port), _PATIENCE)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._method = request.method
        self._socket.sendall(self._encode(request))

    def _encode(self, request: Request) -> bytes:
        names = {name.lower() for name, _ in request.headers}
        headers = list(request.headers)
        if "host" not in names:
            headers.insert(0, ("host", f"{self.host}:{self.port}"))
        body = request.body
        if request.chunked and body is not None:
            headers.append(("transfer-encoding", "chunked"))
            half = len(body) // 2
            body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (body[:half], body[half:]) if piece)
            body += b"0\r\n\r\n"
        elif body is not None and "content-length" not in names:
            headers.append(("content-length", str(len(body))))
        head = f"{request.method} {request.target} HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers)
        return head.encode("utf-8") + b"\r\n" + (body or b"")

    def receive(self) -> Reply:
        """The answer to what was sent.

        Raises:
            OSError, HTTPException: the server went away.
        """
        assert self._socket is not None, "nothing was sent"
        try:
            response = HTTPResponse(self._socket, method=self._method)
            response.begin()
            body = response.read()
        except (OSError, HTTPException):
            self.close()
            raise
        told = {name: value for name in _TOLD if (value := response.headers.get(name)) is not None}
        if "allow" in told:  # upstream writes a set
            told["allow"] = ", ".join(sorted(told["allow"].split(", ")))
        reply = Reply(response.status, response.headers.get("content-type", ""), body, told)
        if response.will_close:
            self.close()
        self._used = time.monotonic()
        return reply

    def ask(self, request: Request) -> Reply:
        """Send and wait."""
        self.send(request)
        return self.receive()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
