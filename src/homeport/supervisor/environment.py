"""What a child sees of the world: neutral variables of the caller, inherited prefixes, its own environment, ours.

A service must behave the same from every shell, so nothing else gets through. Values are resolved here, last of all.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from homeport.model.graph import Node
from homeport.model.values import Resolver, resolve
from homeport.supervisor.layout import Home

MARKER = "HOMEPORT_REASON_FILE"
"""Tells a process where it may explain its failure; and tells us, after a crash, that it is ours."""

_NEUTRAL = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    }
)

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def environment(node: Node, target: Resolver, home: Home, caller: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a service or job.

    Raises:
        HomeportError: when a secret it needs cannot be read or made.
    """
    seen = {name: value for name, value in caller.items() if _neutral(name) or name.startswith(node.inherit)}
    own = {name: resolve(value, node.name, target) for name, value in node.env.items()}
    # A killed process leaves its temporary files; in a directory of ours they go with its next start or its stop.
    ours = {"PYTHONUNBUFFERED": "1", MARKER: str(home.reason(node.name)), "TMPDIR": str(home.scratch(node.name))}
    return _past_the_proxy(seen) | own | ours


def command(node: Node, target: Resolver) -> tuple[str, ...]:
    """The argv of a service or job. `python` is the interpreter that runs Homeport, whatever the PATH says."""
    argv = tuple(resolve(value, node.name, target) for value in node.command)
    return (sys.executable, *argv[1:]) if argv[0] == "python" else argv


def _neutral(name: str) -> bool:
    return name in _NEUTRAL or name.startswith("LC_") or name.lower().endswith("_proxy")


def _past_the_proxy(seen: dict[str, str]) -> dict[str, str]:
    """Services speak to each other on the loopback interface; a company's proxy must not get in between."""
    if not any(name.lower().endswith("_proxy") and name.lower() != "no_proxy" for name in seen):
        return seen
    kept = seen.get("no_proxy") or seen.get("NO_PROXY") or ""
    hosts = [host.strip() for host in kept.split(",") if host.strip()]
    if "*" not in hosts:
        hosts += [host for host in _LOOPBACK if host not in hosts]
    return seen | {"no_proxy": ",".join(hosts), "NO_PROXY": ",".join(hosts)}
