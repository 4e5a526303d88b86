"""Starts the daemon as a process of its own and waits until it answers or says why it will not.

The command that becomes the daemon is handed in; its pipes are found with `inherited`. Refuses to know the graph.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from homeport.errors import HomeportError
from homeport.supervisor.files import disk_error
from homeport.supervisor.layout import Home

_VARIABLE = "HOMEPORT_DAEMON_PIPES"


@dataclass(frozen=True)
class Pipes:
    """Descriptors that the daemon got from `start`; None each when it was started by hand."""

    report_fd: int | None = None
    owner_fd: int | None = None


@dataclass
class Started:
    """A daemon that answers. While it is owned, its end follows ours: `release` or our death closes the pipe."""

    pid: int
    process: subprocess.Popen[bytes]
    owner: int | None = None

    def release(self) -> None:
        """Close the pipe that keeps an owned daemon up: it stops gracefully."""
        if self.owner is not None:
            os.close(self.owner)
            self.owner = None


def start(home: Home, argv: Sequence[str], *, owned: bool, given: bytes = b"", timeout: float = 60.0) -> Started:
    """Start the daemon and return once it answers requests; what it starts may take longer.

    Args:
        home: where it will live; its output goes to logs/homeport.log.
        argv: the command that ends in `Daemon.serve(**vars(inherited()))`.
        owned: it stops when this process ends, however it ends (`up` in the foreground).
        given: what the daemon reads on its standard input, up to 64 KiB; secrets pass here, not in argv.
        timeout: seconds until it must answer; waiting for a killed predecessor's clean-up is part of it.

    Raises:
        HomeportError: why it does not answer: HOME_IN_USE, PORT_TAKEN, DAEMON_NOT_STARTED, ...
    """
    home.create()
    report, write = os.pipe()
    read, owner = os.pipe() if owned else (None, None)
    log = home.log("homeport")
    stdin, feed = os.pipe()
    os.write(feed, given)  # a pipe holds 64 KiB before it blocks
    os.close(feed)
    passed = tuple(fd for fd in (write, read) if fd is not None)
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(
                tuple(argv),
                stdin=stdin,
                stdout=output,
                stderr=output,
                pass_fds=passed,
                start_new_session=True,
                env={**os.environ, _VARIABLE: ",".join(str(fd) if fd is not None else "" for fd in (write, read))},
            )
    except OSError as error:
        _close(report, owner)
        raise disk_error(error, "the daemon could not be started") from error
    finally:
        _close(stdin, *passed)
    try:
        row = _report(report, time.monotonic() + timeout)
    finally:
        os.close(report)
    if row is None or row.get("event") != "listening":
        _close(owner)
        raise _refusal(row, process, home)
    return Started(process.pid, process, owner)


def inherited() -> Pipes:
    """The pipes this process got from `start`; they are forgotten in the environment, so that no child sees them."""
    report, _, owner = os.environ.pop(_VARIABLE, "").partition(",")
    pipes = Pipes(int(report) if report else None, int(owner) if owner else None)
    for fd in (pipes.report_fd, pipes.owner_fd):
        if fd is not None:
            os.set_inheritable(fd, False)
    return pipes


def _report(descriptor: int, deadline: float) -> dict[str, object] | None:
    """The daemon's one line; None when it ends, or the time does, without it."""
    import select

    text = b""
    while not text.endswith(b"\n"):
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        chunk = os.read(descriptor, 65536) if ready else b""
        if not chunk:
            return None
        text += chunk
    row = json.loads(text)
    return row if isinstance(row, dict) else None


def _refusal(row: dict[str, object] | None, process: subprocess.Popen[bytes], home: Home) -> HomeportError:
    error = row.get("error") if row else None
    if isinstance(error, dict):
        process.wait()
        return HomeportError.from_dict(error)
    process.kill()
    code = process.wait()
    lines = _last_lines(home)
    return HomeportError(
        code="DAEMON_NOT_STARTED",
        what="the Homeport daemon ended before it answered",
        evidence=(("exit code", str(code)), *((("last log", lines),) if lines else ())),
        log="logs/homeport.log",
        fix="read logs/homeport.log",
    )


def _last_lines(home: Home) -> str:
    with contextlib.suppress(OSError):
        return "\n".join(home.log("homeport").read_text(errors="replace").strip().splitlines()[-3:])
    return ""


def _close(*descriptors: int | None) -> None:
    for descriptor in descriptors:
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(descriptor)
