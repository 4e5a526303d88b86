"""Speaks to the Homeport that runs in a home, if one does. Small and quick: it is in every command's way.

Blocking, one request a connection. Refuses to import what only the daemon needs.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

from homeport.errors import HomeportError
from homeport.supervisor import identity
from homeport.supervisor.files import read_json
from homeport.supervisor.layout import Home
from homeport.supervisor.lock import held, holder

_PATIENCE = 10.0
"""Seconds within which a living daemon answers; it does nothing that takes longer before it does."""

_CONNECT_PATIENCE = 2.0
_GONE_PATIENCE = 10.0
_PAUSE = 0.02


class Client:
    """The daemon of one home, from outside."""

    def __init__(self, home: Home) -> None:
        self.home = home

    def running(self) -> bool:
        """Whether a daemon holds the home and answers."""
        return self.held() and self._ask({"do": "ping"}, quiet=True) is not None

    def held(self) -> bool:
        """Whether a process holds the home's lock, answering or not."""
        return held(self.home.lock)

    def pid(self) -> int | None:
        """The daemon's process id; None when nothing runs."""
        return holder(self.home) if self.held() else None

    def status(self) -> dict[str, Any] | None:
        """How everything stands; None when nothing runs.

        Raises:
            HomeportError: DAEMON_UNRESPONSIVE.
        """
        answer = self._ask({"do": "status"}) if self.held() else None
        return answer["status"] if answer else None

    def last_state(self) -> dict[str, Any] | None:
        """What a daemon that is dead now wrote last (pid, services); None when it ended in order."""
        return None if self.held() else read_json(self.home.state)

    def last_failure(self) -> HomeportError | None:
        """Why the last start failed; None when it did not."""
        found = read_json(self.home.failure)
        error = found.get("error") if found else None
        return HomeportError.from_dict(error) if isinstance(error, dict) else None

    def events(self, until: str | None = None) -> Iterator[dict[str, Any]]:
        """Every event so far and then as they come.

        Args:
            until: "ready": end with the first of ready, failed, stopped; None or "stopped": with stopped.

        Raises:
            HomeportError: NOT_RUNNING, DAEMON_UNRESPONSIVE, or DAEMON_DIED when it ends without saying so.
        """
        last = ""
        with self._connected({"do": "events", "until": until}) as lines:
            for event in lines:
                last = str(event.get("event"))
                yield event
        if last not in ({"ready", "failed", "stopped"} if until == "ready" else {"stopped"}):
            raise _died(self.home)

    def wait(self, service: str | None = None, timeout: float | None = None) -> None:
        """Wait until a service, or everything, is ready.

        Raises:
            HomeportError: NOT_READY, SERVICE_UNKNOWN, NOT_RUNNING or DAEMON_DIED.
        """
        self._command({"do": "wait", "service": service, "timeout": timeout})

    def restart(self, service: str) -> dict[str, Any]:
        """Restart one service; returns when it is ready, with the event that says how long it took.

        Raises:
            HomeportError: why it did not come back, SERVICE_UNKNOWN, NOT_RUNNING or DAEMON_DIED.
        """
        return self._command({"do": "restart", "service": service})

    def stop(self, reason: str = "asked to stop") -> Iterator[dict[str, Any]]:
        """Stop everything; yields events until nothing runs, and returns when the daemon itself has ended, too.

        Raises:
            HomeportError: NOT_RUNNING or DAEMON_UNRESPONSIVE.
        """
        pid = self.pid()
        with self._connected({"do": "stop", "reason": reason}) as lines:
            yield from lines
        self._wait_until_gone(pid)

    def kill(self) -> None:
        """Stop everything at once, waiting for nothing.

        Raises:
            HomeportError: NOT_RUNNING or DAEMON_UNRESPONSIVE.
        """
        pid = self.pid()
        with self._connected({"do": "kill"}) as lines:
            for _ in lines:
                pass
        self._wait_until_gone(pid)

    def _wait_until_gone(self, pid: int | None) -> None:
        # The lock is given back a moment before its holder has ended; a zombie is its parent's to bury.
        deadline = time.monotonic() + _GONE_PATIENCE
        while self.held() or (pid is not None and identity.alive(pid)):
            if time.monotonic() >= deadline:
                raise _unresponsive(self.home, "it stopped everything and does not end")
            time.sleep(_PAUSE)

    def _command(self, request: dict[str, Any]) -> dict[str, Any]:
        """A request that may take as long as it takes, answered by one line."""
        with self._connected(request) as lines:
            answer = next(lines, None)
        if answer is None:
            raise _died(self.home)
        return answer

    def _ask(self, request: dict[str, Any], *, quiet: bool = False) -> dict[str, Any] | None:
        """A request that is answered at once; None when nothing runs, or (quiet) nothing answers."""
        try:
            with self._connected(request, patience=_PATIENCE) as lines:
                return next(lines, None)
        except HomeportError as error:
            if quiet or error.code == "NOT_RUNNING":
                return None
            raise

    @contextlib.contextmanager
    def _connected(self, request: dict[str, Any], patience: float | None = None) -> Iterator[Iterator[dict[str, Any]]]:
        """Send a request; the lines that answer it."""
        with contextlib.closing(self._connect()) as connection:
            connection.settimeout(patience)
            try:
                connection.sendall(json.dumps(request).encode() + b"\n")
                with connection.makefile("rb") as answers:
                    yield _rows(answers)
            except TimeoutError as error:
                raise _unresponsive(self.home, f"no answer in {_PATIENCE:g} s") from error
            except (OSError, ValueError) as error:
                raise _died(self.home) from error

    def _connect(self) -> socket.socket:
        """Connect; while the lock is held but nobody listens yet, or any more, try for a moment."""
        self.home.check_socket_directory()
        deadline = time.monotonic() + _CONNECT_PATIENCE
        while True:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.settimeout(_PATIENCE)
            try:
                connection.connect(str(self.home.socket))
            except OSError as error:
                connection.close()
                if not self.held():
                    raise _not_running(self.home) from error
                if isinstance(error, TimeoutError) or time.monotonic() >= deadline:
                    raise _unresponsive(self.home, str(error)) from error
                time.sleep(_PAUSE)
            else:
                return connection


def _rows(answers: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - a socket's file has no public type
    for line in answers:
        row = json.loads(line)
        if row.get("ok") is False:
            raise HomeportError.from_dict(row["error"])
        yield row


def _not_running(home: Home) -> HomeportError:
    return HomeportError(
        code="NOT_RUNNING",
        what=f"no Homeport runs in {home.root}",
        fix="homeport up",
    )


def _unresponsive(home: Home, evidence: str) -> HomeportError:
    pid = holder(home)
    return HomeportError(
        code="DAEMON_UNRESPONSIVE",
        what=f"the Homeport in {home.root} does not answer",
        evidence=(("process", f"pid {pid}"), ("socket", evidence)),
        why="it hangs, or is stopped by a debugger or SIGSTOP",
        fix=f"kill -9 {pid}: its warden stops everything it started; then homeport up",
        log="logs/homeport.log",
    )


def _died(home: Home) -> HomeportError:
    found = read_json(home.failure)
    if found and isinstance(found.get("error"), dict):
        return HomeportError.from_dict(found["error"])
    return HomeportError(
        code="DAEMON_DIED",
        what=f"the Homeport in {home.root} ended without saying why",
        why="it was killed, perhaps for want of memory; its warden stops everything it started",
        fix="homeport up",
        log="logs/homeport.log",
    )
