"""Outlives the supervisor and stops whatever it left behind when it was killed.

Run as `python -I -S warden.py FD MARKER SOCKET`. Reads lines from the pipe FD whose other end only the supervisor
holds: `add PGID SIGNAL SECONDS STARTED`, `remove PGID`, `done`. End of file without `done` means that the supervisor is
gone. Inherits a lock and holds it until it has finished: the next Homeport waits for that. Stdlib only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - pathlib would triple the start time

TYPE_CHECKING = False  # typing is not imported for the same reason; type checkers know this name
if TYPE_CHECKING:
    from collections.abc import Callable

import identity  # type: ignore[import-not-found]  # noqa: E402 - a sibling, found on the path set above

_PATIENCE = 10.0
"""Seconds a service may take to stop here, whatever it was promised: its supervisor is already dead."""

_TICK = 0.02
_ROUNDS = 50


def main(arguments: list[str]) -> None:
    """Read until the supervisor says `done` or is gone."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    pipe, marker, socket = int(arguments[0]), *arguments[1:3]
    groups: dict[int, tuple[int, float, str]] = {}
    rest = b""
    while chunk := os.read(pipe, 65536):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            word, *values = line.decode().split(" ")
            if word == "done":
                return
            if word == "add":
                groups[int(values[0])] = (int(values[1]), float(values[2]), values[3])
            elif word == "remove":
                groups.pop(int(values[0]), None)
    stop_all(groups)
    kill_marked(marker)
    with contextlib.suppress(OSError):
        os.unlink(socket)  # noqa: PTH108 - as above


def stop_all(groups: dict[int, tuple[int, float, str]]) -> None:
    """Stop every group, last registered first: signal, wait, kill."""
    now = time.monotonic()
    waiting: dict[int, float] = {}
    for group in reversed(groups):
        number, seconds, started = groups[group]
        if identity.started(group) not in {None, started}:
            continue  # The id belongs to a stranger by now.
        send(os.kill, group, number)
        waiting[group] = now + min(seconds, _PATIENCE)
    while waiting:
        for group, deadline in list(waiting.items()):
            if not identity.alive(group) or time.monotonic() >= deadline:
                send(os.killpg, group, signal.SIGKILL)
                del waiting[group]
        time.sleep(_TICK if waiting else 0)


def kill_marked(marker: str) -> None:
    """Kill what left its process group, and wait until everything is gone."""
    for _ in range(_ROUNDS):
        found = identity.marked(marker)
        if not found:
            return
        for pid in found:
            send(os.kill, pid, signal.SIGKILL)
        time.sleep(_TICK)


def send(how: Callable[[int, int], None], target: int, number: int) -> None:
    """Send a signal to what may be gone already."""
    with contextlib.suppress(OSError):
        how(target, number)


if __name__ == "__main__":
    main(sys.argv[1:])
