"""Whether who asks a server is on this machine, by an ASGI scope. Refuses to know what is asked, and which server."""

from __future__ import annotations

import ipaddress
from collections.abc import MutableMapping
from typing import Any

_FORWARDED = frozenset({b"x-forwarded-for", b"forwarded", b"x-real-ip"})


def is_near(scope: MutableMapping[str, Any]) -> bool:
    """Whether who asks is on this machine and asks for nobody else: a probe or its owner."""
    if any(name in _FORWARDED for name, _ in scope["headers"]):
        return False
    try:
        return ipaddress.ip_address((scope.get("client") or ("",))[0]).is_loopback
    except ValueError:
        return False
