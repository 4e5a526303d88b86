"""The keeper: the process that owns a home. Here it is started and followed, and here is what it runs.

Joins the three that must not know each other: settings and stack, the embedded target, the supervisor. Prints nothing.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from homeport import login
from homeport.errors import HomeportError
from homeport.settings import Settings, dumps, loads
from homeport.supervisor.client import Client
from homeport.supervisor.layout import Home

Event = Mapping[str, Any]
_COMMAND = (sys.executable, "-m", "homeport.keeper")
_GONE = 10.0  # s; after its last event a keeper has only to end
_started: dict[Path, subprocess.Popen[bytes]] = {}  # by home: whoever stops a keeper in this process buries it, too


class Keeper:
    """The keeper of one home as seen by whoever may start it."""

    def __init__(self, settings: Settings, home: Home, client: Client) -> None:
        self._settings, self._home, self._client = settings, home, client

    def start(self, *, attached: bool, timeout: float | None) -> Iterator[dict[str, Any]]:
        """Start a keeper unless one is there, and yield what happens until the platform is ready.

        The first event is `started` or `already`. A failed start ends with `failed`; then nothing is left running.
        With `attached` the events go on until the platform stops, and the platform stops when this process ends.

        Raises:
            HomeportError: when no keeper could be started: a wrong home, a taken port, a full disk.
        """
        if not self._client.held():
            from homeport.supervisor import detach

            self.wait_until_gone()  # one that was started here before and killed by somebody
            request = json.dumps({"settings": dumps(self._settings), "timeout": timeout}).encode()
            try:
                started = detach.start(self._home, _COMMAND, owned=attached, given=request)
            except HomeportError as error:
                if error.code != "HOME_IN_USE":  # another `up` was quicker: follow that one
                    raise
            else:
                _started[self._home.root] = started.process
                yield {"event": "started", "at": _now(), "pid": started.pid}
                for event in self._client.events(until=None if attached else "ready"):
                    if event["event"] == "failed":
                        self.wait_until_gone()
                    yield event
                if attached:
                    self.wait_until_gone()
                return
        yield {"event": "already", "at": _now(), "pid": self._client.pid()}
        yield from self._client.events(until="ready")

    def wait_until_gone(self) -> None:
        """Wait for the end of a keeper that this process started and that has said it stops."""
        process = _started.pop(self._home.root, None)
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GONE)


@atexit.register
def _leave_running() -> None:
    """A keeper outlives whoever started it; `Popen` would warn of that."""
    for process in _started.values():
        process.returncode = 0


def admin_environ(settings: Settings, home: Home) -> dict[str, str]:
    """The variables that reach the database and the bucket themselves; they hold secrets."""
    from homeport.model.values import resolve
    from homeport.services.database import backend_store_uri
    from homeport.services.objectstore import admin_env
    from homeport.stack import build
    from homeport.supervisor.local import LocalTarget

    target = LocalTarget(build(settings), home)
    values = {"MLFLOW_BACKEND_STORE_URI": backend_store_uri(settings), **admin_env(settings)}
    return {name: resolve(value, "client", target) for name, value in values.items()}


def main() -> int:
    """Own a home until asked to stop. The settings come by standard input, since they may hold secrets."""
    from homeport.supervisor import detach
    from homeport.supervisor.daemon import Daemon, report
    from homeport.supervisor.events import iso
    from homeport.supervisor.local import LocalTarget

    pipes = detach.inherited()
    try:
        from homeport.space import require_space
        from homeport.stack import build

        request = json.load(sys.stdin)
        settings = loads(request["settings"])
        home = Home(settings.home)
        require_space(home.root)
        graph = build(settings)
        target = LocalTarget(graph, home)
    except HomeportError as error:
        report(pipes.report_fd, {"event": "failed", "at": iso(time.time()), "error": error.as_dict()})
        return int(error.exit_code)

    def urls() -> dict[str, str]:
        login.note(settings, home)  # by now this keeper owns the home
        return {name: f"http://{':'.join(map(str, target.address(name)))}" for name in _WITH_URL if name in graph}

    os.chdir(home.root)
    return Daemon(graph, target, home, urls=urls).serve(
        timeout=request["timeout"], owner_fd=pipes.owner_fd, report_fd=pipes.report_fd
    )


_WITH_URL = ("tracking", "objectstore", "serving")


def _now() -> str:
    from datetime import UTC, datetime

    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


if __name__ == "__main__":
    sys.exit(main())
