"""The gate before MLflow's application: whoever has not said who they are gets no further, whichever path they ask for.

Upstream decides path by path, in two places, and forgets some (docs/adr/0007). Here only what is listed is open. What a
user may do is upstream's to decide; this refuses to know users.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from enum import StrEnum
from typing import Any, Protocol

import anyio
import anyio.to_thread

# Paths, as they are without a user: probes, what a client asks before it logs in, and the files of the page itself.
OPEN = frozenset(
    {
        "/health",
        "/ready",
        "/favicon.ico",
        "/api/3.0/mlflow/server-info",
        "/ajax-api/3.0/mlflow/server-info",
    }
)
OPEN_BELOW = ("/static-files/",)

_AT_ONCE = 2  # passwords compared at a time in one worker: strangers must not keep all cores busy
_GATEWAY, _GATEWAY_HEADER = "/gateway/", b"x-mlflow-authorization"  # mlflow 3.17.2, gateway/constants.py

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Users(Protocol):
    """Who may come in."""

    def remembered(self, name: str, password: str) -> bool:
        """Whether that was right a short while ago; at once."""

    def known(self, name: str, password: str) -> bool:
        """Whether that is right; blocks, and raises when it cannot be told."""


class Verdict(StrEnum):
    """What becomes of a request."""

    PASS = "pass"  # noqa: S105 - a word
    STRANGER = "stranger"
    UNKNOWABLE = "unknowable"


class Gate:
    """One worker's gate.

    Args:
        users: who may come in.
        internal_token: what upstream's own jobs say instead of a password on the AI gateway's paths; empty: nothing.
    """

    def __init__(self, users: Users, internal_token: str = "") -> None:
        self._users = users
        self._token = internal_token.encode()
        self._limiter: anyio.CapacityLimiter | None = None

    async def verdict(self, scope: Scope) -> Verdict:
        """Whether the request may go on."""
        path, headers = scope["path"], scope["headers"]
        if is_open(path) or _is_preflight(scope):
            return Verdict.PASS
        given = credentials(_header(headers, path))
        if given is None:
            return Verdict.STRANGER
        if self._users.remembered(*given) or self._is_job(path, given[1]):
            return Verdict.PASS
        self._limiter = self._limiter or anyio.CapacityLimiter(_AT_ONCE)  # it belongs to a loop, so not earlier
        try:
            known = await anyio.to_thread.run_sync(self._users.known, *given, limiter=self._limiter)
        except Exception:  # the database is away: that is no answer about a password
            return Verdict.UNKNOWABLE
        return Verdict.PASS if known else Verdict.STRANGER

    def _is_job(self, path: str, password: str) -> bool:
        """Whether upstream's own job asks; upstream looks at the token again, and lets it in there only, too."""
        return bool(self._token) and path.startswith(_GATEWAY) and hmac.compare_digest(password.encode(), self._token)


def is_open(path: str) -> bool:
    """Whether everybody may ask for that path."""
    return path in OPEN or path.startswith(OPEN_BELOW)


def credentials(header: bytes) -> tuple[str, str] | None:
    """User and password of an Authorization header (RFC 7617); None when it holds none."""
    scheme, _, value = header.strip().partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        text = base64.b64decode(value.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    name, colon, password = text.partition(":")
    return (name, password) if colon and name else None


async def refuse(verdict: Verdict, scope: Scope, send: Send) -> None:
    """Answer a request that may not go on, in upstream's words where it has some."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    if verdict is Verdict.STRANGER:
        body = b"You are not authenticated. Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.\n"
        status, kind, extra = 401, b"text/plain; charset=utf-8", (b"www-authenticate", b'Basic realm="mlflow"')
    else:
        body = b'{"error_code":"TEMPORARILY_UNAVAILABLE","message":"users cannot be looked up now; try again"}'
        status, kind, extra = 503, b"application/json", (b"retry-after", b"1")
    headers = [
        (b"content-type", kind), (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"), extra,
    ]  # fmt: skip
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def _header(headers: Iterable[tuple[bytes, bytes]], path: str) -> bytes:
    """The header with the credentials; on the AI gateway's paths the usual one may be meant for a provider."""
    found = {name: value for name, value in headers if name in {b"authorization", _GATEWAY_HEADER}}
    if path.startswith(_GATEWAY) and found.get(_GATEWAY_HEADER):
        return found[_GATEWAY_HEADER]
    return found.get(b"authorization", b"")


def _is_preflight(scope: Scope) -> bool:
    """A browser's question whether another site may ask (CORS), which never carries credentials; upstream answers."""
    if scope["type"] != "http" or scope["method"] != "OPTIONS":
        return False
    names = {name for name, _ in scope["headers"]}
    return {b"origin", b"access-control-request-method"} <= names
