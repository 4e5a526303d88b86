"""Which paths are plainly safe: those that MLflow takes exactly as they stand. Every other one is MLflow's to refuse.

Upstream decodes a path up to ten times and then looks for `..`, `#` and absolute names (mlflow 3.17.2, utils/uri.py
`validate_path_is_safe`). Here nothing is decoded twice. Refuses to know where artifacts are.
"""

from __future__ import annotations

from urllib.parse import unquote_to_bytes, urlparse, urlunparse

PREFIXES = ("/api/2.0/mlflow-artifacts/artifacts/", "/ajax-api/2.0/mlflow-artifacts/artifacts/")
_FORBIDDEN = frozenset("\\%?#;\x7f") | frozenset(map(chr, range(32)))
_LONGEST_NAME = 255  # bytes; upstream makes a file of that name
_LONGEST = 1024  # bytes; S3's longest key


def artifact(path: str, raw: bytes) -> str:
    """The artifact that a request's path names; empty when it is not plainly safe.

    Args:
        path: decoded once, by the HTTP server.
        raw: as it was sent.
    """
    prefix = next((one for one in PREFIXES if path.startswith(one)), "")
    if not prefix or not raw.startswith(prefix.encode()):
        return ""
    try:
        if unquote_to_bytes(raw).decode() != path:
            return ""
    except UnicodeDecodeError:
        return ""
    name = path[len(prefix) :]
    return name if is_plain(name) else ""


def is_plain(name: str) -> bool:
    """Whether this is a relative path that no decoding, splitting or joining changes."""
    segments = name.split("/")
    return (
        len(name.encode()) <= _LONGEST
        and all(one not in {"", ".", ".."} and len(one.encode()) <= _LONGEST_NAME for one in segments)
        and _FORBIDDEN.isdisjoint(name)
        and ":" not in segments[0]  # a scheme or a drive
        and urlunparse(urlparse(name)) == name
    )
