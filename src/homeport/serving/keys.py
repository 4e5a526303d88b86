"""Who may ask the serving API: whoever says one of its keys, in any of the ways that clients have for that.

One look at the headers and one comparison of bytes for each key: a prediction pays a microsecond. It refuses to know
users.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from hmac import compare_digest

from homeport.errors import ExitCode, HomeportError
from homeport.serving.refusal import Refusal

OPEN = frozenset(
    {b"/live", b"/ready", b"/ping", b"/health", b"/version", b"/v2/health/live", b"/v2/health/ready"}
    | {b"/webhooks/mlflow"}  # carries a signature of its own
)
"""Paths, as they are sent, that need no key."""

TOLD = "homeport.told"
"""In a request's scope: whether who asks may be told more than whether all is well."""

_SHORTEST = 12
_VISIBLE = re.compile(r"[\x21-\x7e]+")
# Basic alone: browsers ask their user for it, and some do not understand two challenges in one header.
_CHALLENGE = {
    "WWW-Authenticate": 'Basic realm="Homeport serving", charset="UTF-8"',
    "Cache-Control": "no-store",
}


class Keys:
    """The keys of one server.

    Args:
        keys: at least one; several while one follows another.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = tuple(key.encode() for key in keys)

    def admits(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether one of the headers holds a key: X-API-Key, or Authorization as Bearer or as a password (Basic)."""
        for name, value in headers:
            if name == b"authorization":
                if self._holds(_credential(value)):
                    return True
            elif name == b"x-api-key" and self._holds(value):
                return True
        return False

    def _holds(self, given: bytes) -> bool:
        found = False
        for key in self._keys:  # all of them, however early one is right
            found |= compare_digest(given, key)
        return found


def parse(text: str) -> tuple[str, ...]:
    """Keys separated by commas; none for an empty text.

    Raises:
        HomeportError: SETTING_INVALID; the keys are not repeated.
    """
    keys = tuple(key for each in text.split(",") if (key := each.strip()))
    if all(len(key) >= _SHORTEST and _VISIBLE.fullmatch(key) for key in keys):
        return keys
    raise HomeportError(
        code="SETTING_INVALID",
        what="HOMEPORT_SERVING_KEY is not usable",
        evidence=(("needed", f"keys of at least {_SHORTEST} visible ASCII characters, separated by commas"),),
        why="a short key can be guessed, and others do not pass through HTTP unchanged",
        fix="set HOMEPORT_SERVING_KEY to a longer one; an empty one in Homeport's own settings is generated",
        exit_code=ExitCode.USAGE,
    )


def stranger() -> Refusal:
    """401: no key, or a wrong one."""
    return Refusal(401, "UNAUTHENTICATED", "a key is needed: Authorization: Bearer KEY, or X-API-Key: KEY", _CHALLENGE)


def _credential(header: bytes) -> bytes:
    """What an Authorization header holds: the token of Bearer, the password of Basic, else nothing."""
    scheme, _, value = header.partition(b" ")
    scheme = scheme.lower()
    if scheme == b"bearer":
        return value.strip()
    if scheme != b"basic":
        return b""
    try:
        return base64.b64decode(value.strip(), validate=True).partition(b":")[2]
    except binascii.Error:
        return b""
