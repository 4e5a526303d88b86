"""Ports on the loopback interface: free or taken, and by whom. Knows nothing of who wants them."""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Container

from homeport.errors import HomeportError

LOOPBACK = "127.0.0.1"

_FIRST, _LAST = 20000, 32000
"""Below every system's range for outgoing connections (Linux from 32768, macOS from 49152): a port that was free at the
last start is then rarely taken at the next."""

_TRIES = 200
_CONNECT_TIMEOUT = 0.2


def free(port: int) -> bool:
    """Whether a service could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the services do it: a connection of the last run that lingers in TIME_WAIT does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    # macOS lets a second program bind a narrower address (its AirPlay receiver holds *:5000): does anyone answer?
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as caller:
        caller.settimeout(_CONNECT_TIMEOUT)
        return caller.connect_ex((LOOPBACK, port)) != 0


def choose(taken: Container[int]) -> int:
    """A free port outside the range of outgoing connections and not in `taken`.

    Raises:
        HomeportError: NO_FREE_PORT.
    """
    for _ in range(_TRIES):
        port = random.randint(_FIRST, _LAST)  # noqa: S311 - any free port does
        if port not in taken and free(port):
            return port
    raise HomeportError(
        code="NO_FREE_PORT",
        what=f"no free port was found between {_FIRST} and {_LAST} in {_TRIES} tries",
        fix="stop programs that listen on many ports (ss -ltn lists them)",
    )


def holder(port: int) -> str:
    """Who listens there, for people: name, process id, user and Homeport home as far as the system tells."""
    import psutil  # 30 ms, and only a refusal needs it

    from homeport.supervisor.environment import MARKER

    try:
        rows = psutil.net_connections(kind="tcp")
    except (psutil.Error, OSError):
        return "another user's process"
    pids = [row.pid for row in rows if row.status == psutil.CONN_LISTEN and row.laddr and row.laddr.port == port]
    pid = next((pid for pid in pids if pid), None)
    if pid is None:
        return "another user's process" if pids else "a process that cannot be seen from here"
    try:
        process = psutil.Process(pid)
        text = f"{process.name()} (pid {pid}, user {process.username()})"
        reason = process.environ().get(MARKER, "")
    except (psutil.Error, OSError):
        return f"pid {pid}"
    service, _, home = reason.rpartition("/run/reasons/")[::-1]
    return f"{text}, {service.removesuffix('.json')} of the Homeport in {home}" if home else text
