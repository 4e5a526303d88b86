"""permissions: a question of the front to upstream's own code (skeleton)."""

from __future__ import annotations

from homeport.tracking.internal import Headers


def answer(body: bytes, headers: Headers) -> tuple[int, bytes]:
    """Nothing yet."""
    return 404, b"{}"
