"""The ports that the gateway publishes on this machine: free or taken, looked at before anything is started."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Mapping

from homeport.compose import failure
from homeport.compose.containers import Container, Model
from homeport.settings import Settings

_CONNECT = 0.3  # s


def check(model: Model, found: Mapping[str, Container], settings: Settings) -> None:
    """See that each published port is free, but for those that this project's own containers hold.

    Raises:
        HomeportError: PORT_TAKEN.
    """
    for service, address, port in model.published():
        held = found.get(service)
        if held is not None and held.runs:
            continue
        reason = taken(address, port)
        if reason:
            raise failure.port_taken(port, reason, failure.setting_of(port, settings.http_port))


def taken(address: str, port: int) -> str:
    """Why nobody can listen there now; empty when somebody can, or when only the engine may try."""
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET  # noqa: PLR2004
    except ValueError:
        return ""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return f"{address}:{port}: {error.strerror}"
            if error.errno != errno.EACCES:  # another machine's address: the engine may be there
                return ""
        else:
            return ""
    # This user may not listen below 1024, the engine may: does anybody answer?
    loopback = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    with socket.socket(family, socket.SOCK_STREAM) as caller:
        caller.settimeout(_CONNECT)
        where = loopback if ipaddress.ip_address(address).is_unspecified else address
        return f"{where}:{port}: somebody answers there" if caller.connect_ex((where, port)) == 0 else ""
