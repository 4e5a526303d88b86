"""The page at `GET /` for people: what is served, and a form to try it. One file, no request to anybody else.

The page draws itself from the status with `textContent` only, so text from the registry is never markup; the policy
in `headers` lets no script run but its own. It knows the status as JSON and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib import resources
from typing import Any

import orjson

_PLACE = "{{status}}"
_INLINE = {tag: re.compile(rf"<{tag}>(.*?)</{tag}>", re.DOTALL) for tag in ("script", "style")}
# Inside a script element these could end it or begin a comment; in JSON they can be written as escapes.
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def render(status: dict[str, Any]) -> str:
    """The page for a status (`GET /status`), which it asks for again every few seconds."""
    text = orjson.dumps(status, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return _template().replace(_PLACE, text, 1)


@cache
def _policy() -> str:
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hashes('script')}",
            f"style-src {_hashes('style')}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def headers() -> dict[str, str]:
    """The headers the page must be sent with."""
    return {
        "Content-Security-Policy": _policy(),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }


def _hashes(tag: str) -> str:
    """Hashes of the template's inline scripts or styles, as Content Security Policy level 2 writes them."""
    found = (hashlib.sha256(text.encode()).digest() for text in _INLINE[tag].findall(_template()))
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in found)


@cache
def _template() -> str:
    return resources.files("homeport.serving").joinpath("page.html").read_text(encoding="utf-8")
