"""The platform of one home, from outside: start it, stop it, ask it, and the environment its clients need.

The Python API and the command line both stand on this. It starts the keeper process and talks to it; it refuses to
print, and it never supervises anything itself.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from homeport import login
from homeport.errors import ExitCode, HomeportError
from homeport.keeper import Keeper, admin_environ
from homeport.settings import Settings, load
from homeport.supervisor.client import Client
from homeport.supervisor.layout import Home

Event = Mapping[str, Any]
PORTS = ("tracking_port", "database_port", "objectstore_port", "serving_port")
ISOLATED = "# written by homeport up --isolated\n"  # marks a home that --isolated made
OnEvent = Callable[[Event], None]


class Platform:
    """A platform in one home.

    Used as a context manager it is started on entry and stopped on exit, and leaves nothing running:

        with homeport.Platform(home=tmp_path) as platform:
            mlflow.set_tracking_uri(platform.tracking_uri)

    Args:
        home: where data, logs and secrets are kept; the user data directory when not given.
        settings: every other setting; read from the environment and files when not given.
        isolated: free ports, so that several platforms run side by side.
        timeout: seconds for the whole start; when not given, each part has its own (the setting `start_timeout`, and
            30 minutes for a migration).

    Raises:
        HomeportError: from `start` when the platform cannot become ready; then nothing is left running.
    """

    def __init__(
        self,
        home: str | Path | None = None,
        *,
        settings: Settings | None = None,
        isolated: bool = False,
        timeout: float | None = None,
    ) -> None:
        settings = settings or load({"home": home} if home is not None else {})
        if home is not None:
            settings = replace(settings, home=Path(home).expanduser().absolute())
        self.settings = with_free_ports(settings) if isolated else settings
        if timeout is not None and timeout < self.settings.start_timeout:
            # Each part gives up before the whole does, so that it is the part that says why.
            self.settings = replace(self.settings, start_timeout=max(1, int(timeout)))
        self.timeout = timeout
        self._home = Home(self.settings.home)
        self._client = Client(self._home)
        self._keeper = Keeper(self.settings, self._home, self._client)

    @classmethod
    def private(cls, home: Path, **flags: object) -> Self:
        """A platform that reads no setting from the environment or from files: free ports, everything else default."""
        return cls(settings=load({"home": str(home), **dict.fromkeys(PORTS, 0), **flags}, environ={}, directory=home))

    @property
    def home(self) -> Path:
        """Where data, logs and secrets are kept."""
        return self.settings.home

    @property
    def running(self) -> bool:
        """Whether a keeper owns this home now."""
        return self._client.running()

    def __enter__(self) -> Self:
        """Start, and wait until ready."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; data is kept."""
        self.stop()

    def start(self, on_event: OnEvent | None = None) -> bool:
        """Start and wait until ready; True when this call started it, False when it was running already."""
        started = False
        for event in self.starting(attached=False):
            started = started or event["event"] == "started"
            if on_event:
                on_event(event)
            if event["event"] == "failed":
                raise HomeportError.from_dict(event["error"])
        return started

    def starting(self, *, attached: bool) -> Iterator[Event]:
        """The events of a start until ready. With `attached` the platform ends when this process does.

        The first event is `started` (this call started the keeper) or `already` (it was there).
        """
        yield from self._keeper.start(attached=attached, timeout=self.timeout)

    def stop(self, on_event: OnEvent | None = None, *, volumes: bool = False) -> bool:
        """Stop; True when something was running. With `volumes` all data, logs and secrets are removed, too."""
        was_running = self._client.running()
        if was_running:
            for event in self._client.stop():
                if on_event:
                    on_event(event)
            self._keeper.wait_until_gone()
        if volumes:
            self.remove()
        return was_running

    def remove(self) -> None:
        """Remove this home's data, logs, run files and secrets; files that are not Homeport's are left."""
        if self._client.running():
            raise HomeportError(
                code="HOME_IN_USE",
                what="data is not removed while the platform runs",
                evidence=(("home", str(self.home)),),
                fix="homeport down --volumes",
            )
        for directory in (self._home.run, self._home.data, self._home.logs, self._home.secrets):
            if directory.is_dir():
                shutil.rmtree(directory)
        isolated = self.home / "homeport.toml"
        if isolated.is_file() and isolated.read_text(encoding="utf-8").startswith(ISOLATED):
            # Homeport chose this home and wrote that file; any other home is the user's, and may be configured.
            isolated.unlink()
            with contextlib.suppress(OSError):
                self.home.rmdir()

    def status(self) -> dict[str, Any]:
        """`{"ready": bool, "services": […]}` as `homeport status --json` prints it; not running: ready is False."""
        found = self._client.status()
        return {"ready": False, "home": str(self.home), "services": []} if found is None else found

    def restart(self, service: str) -> Event:
        """Restart one service and wait until it is healthy again."""
        return self._client.restart(service)

    @property
    def tracking_uri(self) -> str:
        """URL of the tracking server.

        Raises:
            HomeportError: NOT_RUNNING.
        """
        return self.url("tracking")

    @property
    def serving_url(self) -> str | None:
        """URL of the serving API; None when nothing is served (HOMEPORT_SERVE=none).

        Raises:
            HomeportError: NOT_RUNNING.
        """
        return self.url("serving") if self._has("serving") else None

    def _has(self, service: str) -> bool:
        return any(row["name"] == service for row in self.status()["services"])

    def url(self, service: str) -> str:
        """URL of a service of the running platform."""
        for row in self.status()["services"]:
            if row["name"] == service and row.get("url"):
                return str(row["url"])
        raise not_running(self.home)

    @property
    def login(self) -> login.Login | None:
        """Who logs in to the running platform, and with what; None where nobody is asked."""
        return login.of(self._home)

    def env(self, *, admin: bool = False) -> dict[str, str]:
        """The variables a client needs; with `admin` also those that reach the database and the bucket directly.

        Where clients must log in they hold secrets: the administrator's password and the serving API's key.
        """
        uri = self.tracking_uri
        env = {"MLFLOW_TRACKING_URI": uri}
        if serving := self.serving_url:
            env["HOMEPORT_SERVING_URL"] = serving
        ours: dict[str, str] = {}
        if asked := self.login:
            ours |= login.environ(asked, self.settings)
        if admin:
            ours |= admin_environ(self.settings, self._home)
        env |= ours
        exported = sorted(ours)
        if self.settings.source("home") != "default" or self.home != load({}, environ={}).home:
            env["HOMEPORT_HOME"] = str(self.home)
        if exported:
            # Marks them as this platform's own: a later `homeport up` in that shell must not take them as settings.
            env["HOMEPORT_EXPORTED"] = ",".join(exported)
        return env

    def client_environ(self) -> dict[str, str]:
        """The whole environment for a client program: the caller's, with `env()` over it and no server variables."""
        environ = {**os.environ, **self.env()}
        if not {"VIRTUAL_ENV", "CONDA_PREFIX"} & environ.keys():
            # No environment is active: `python` is then the one that has MLflow, not the system's.
            environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), environ.get("PATH", os.defpath)))
        return environ


def with_free_ports(settings: Settings) -> Settings:
    """The same settings with every port free to choose."""
    sources = dict(settings.sources) | dict.fromkeys(PORTS, "--isolated")
    free: dict[str, Any] = dict.fromkeys(PORTS, 0)
    return replace(settings, **free, sources=sources)


def not_running(home: Path) -> HomeportError:
    """The error of every command that needs a running platform."""
    return HomeportError(
        code="NOT_RUNNING",
        what="the platform is not running",
        evidence=(("home", str(home)),),
        fix="homeport up --detach",
        exit_code=ExitCode.NOT_READY,
    )
