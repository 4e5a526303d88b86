"""Whether this machine's programs find the gateway by its names. Asks the resolver, nothing else."""

from __future__ import annotations

import socket
from collections.abc import Sequence


def unresolved(names: Sequence[str]) -> list[str]:
    """Those of the names that the system's resolver does not know.

    Browsers and curl take every name below `localhost` for this machine (RFC 6761); a program that asks the C library
    finds it only where the system's resolver does, too: systemd-resolved and nss-myhostname do, musl and others do not.
    """
    return [name for name in names if not _found(name)]


def mend(names: Sequence[str], address: str = "127.0.0.1") -> str:
    """What makes them known on this machine."""
    line = f"{address} {' '.join(names)}"
    package = "; or, on Debian and Ubuntu: sudo apt-get install libnss-myhostname"
    return f"add to /etc/hosts: {line}" + (package if all(name.endswith(".localhost") for name in names) else "")


def _found(name: str) -> bool:
    try:
        return bool(socket.getaddrinfo(name, 443, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError):
        return False
