"""The platform in containers, from outside: start it, stop it, ask it, and the environment its clients need.

The same questions as `homeport.platform.Platform` answers for plain processes, with the same answers. Prints nothing.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from homeport.compose import commands, containers, failure, files, names, ports, trust
from homeport.compose.logs import LogLine
from homeport.compose.logs import read as read_logs
from homeport.compose.place import Place
from homeport.compose.site import Site
from homeport.compose.start import Asked, Event, Start, iso
from homeport.errors import ExitCode, HomeportError
from homeport.services import gateway
from homeport.settings import Settings

OnEvent = Callable[[Event], None]
START_SECONDS = 600.0
_UP, _DOWN = 1800.0, 300.0  # s; images may have to be pulled; a database may have to write much before it ends
_NOT_FROM_OUTSIDE = "database and object store are in containers that nothing outside reaches"


class ComposePlatform:
    """A platform in containers, in one directory.

    Args:
        settings: the directory's.
        directory: where compose.yaml, .env and secrets/ are.
        named: whether the user named it.
        timeout: seconds for the whole start; 600 when not given.
        environ: os.environ when not given.
    """

    def __init__(
        self,
        settings: Settings,
        directory: Path,
        *,
        named: bool = False,
        timeout: float | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.settings = settings
        self.timeout = timeout
        self.site = Site(settings, Place(directory.absolute(), named), environ)

    @property
    def home(self) -> Path:
        """Where the files are; data is in volumes."""
        return self.site.directory

    @property
    def running(self) -> bool:
        """Whether any container of it runs."""
        return self.site.place.made and any(each.runs for each in self.site.containers().values())

    def starting(self, *, build_images: bool = False) -> Iterator[Event]:
        """The events of a start until ready: `written` for each file that was made, then `started` or `already`.

        Raises:
            HomeportError: when nothing could be started; DOCKER_*, COMPOSE_*, PORT_TAKEN, IMAGE_MISSING, SETTING_*.
        """
        _ = self.site.engine
        yield from self._make_files()
        found = self.site.containers()
        if not build_images and self.site.is_up(found):
            yield {"event": "already", "at": iso(time.time()), "pid": None}
            for node in self.site.graph:
                row = containers.row(node, found.get(node.name))
                wanted = ("kind", "owner", "state", "detail")
                yield {"event": "state", "at": iso(time.time()), "service": node.name, "seconds": 0.0} | {
                    key: row[key] for key in wanted
                }
            yield {"event": "ready", "at": iso(time.time()), "seconds": 0.0}
        else:
            self.site.check_secrets()
            ports.check(self.site.model, found, self.settings)
            if not build_images:
                self.site.check_image()
            yield {"event": "started", "at": iso(time.time()), "pid": None}
            yield from self._start(build_images=build_images)
        self._copy_ca()

    def _start(self, *, build_images: bool) -> Iterator[Event]:
        seconds = self.timeout or START_SECONDS
        docker = self.site.engine.docker
        asked = Asked(self.site.containers, self.site.last_lines, self._stop_some)
        argv = commands.up(self.site.project, build=build_images, seconds=seconds)
        follow = commands.events(docker, self.site.model.name, time.time())
        start = Start(
            self.site.graph,
            asked,
            up=argv,
            events=follow,
            environ=self.site.environ,
            directory=self.home,
            seconds=seconds,
        )
        yield from start.run()

    def _make_files(self) -> Iterator[Event]:
        self.site.place.check()
        for written in files.make(self.site.place):
            yield {"event": "written", "at": iso(time.time()), "file": str(written)}

    def stop(self, on_event: OnEvent | None = None, *, volumes: bool = False) -> bool:
        """Stop and remove the containers; True when something was running. Volumes only when asked for."""
        found = self.site.containers()
        was_running = any(each.runs for each in found.values())
        begin = time.time()
        done = self.site.call(commands.down(self.site.project, volumes=volumes), _DOWN)
        if done.code:
            raise HomeportError(
                code="COMPOSE_FAILED",
                what="Docker Compose could not stop the platform",
                evidence=(("compose", done.last),),
                fix="mend what it names, then: homeport down --target compose",
            )
        if volumes:
            for name in (trust.CA, trust.BUNDLE):
                (self.site.secrets / name).unlink(missing_ok=True)
        if was_running and on_event:
            on_event({"event": "stopped", "at": iso(time.time()), "seconds": round(time.time() - begin, 3)})
        return was_running

    def _stop_some(self, services: Sequence[str]) -> None:
        self.site.call(commands.stop(self.site.project, list(services)), _DOWN)

    def kill(self) -> None:
        """End every container of the project at once."""
        self.site.call(commands.kill(self.site.project))

    def restart(self, service: str) -> Event:
        """Restart one service and wait until it is healthy again."""
        if service not in self.site.graph:
            raise HomeportError(
                code="SERVICE_UNKNOWN",
                what=f'there is no service or job "{service}"',
                fix=f"name one of: {', '.join(node.name for node in self.site.graph)}",
                exit_code=ExitCode.USAGE,
            )
        begin = time.time()
        seconds = self.timeout or START_SECONDS
        for argv in (commands.restart(self.site.project, service), commands.wait(self.site.project, service, seconds)):
            done = self.site.call(argv, _UP)
            if done.code:
                found = {name: each for name, each in self.site.containers().items() if name == service}
                raise failure.explain(self.site.graph, found, lambda each: self.site.last_lines(each, 40), done.error)
        return {
            "event": "restarted",
            "at": iso(time.time()),
            "service": service,
            "seconds": round(time.time() - begin, 3),
        }

    def status(self) -> dict[str, Any]:
        """`{"ready": bool, "services": […]}` as `homeport status --json` prints it; not running: ready is False."""
        if not self.site.place.made:
            return {"ready": False, "home": str(self.home), "services": []}
        found = self.site.containers()
        if not any(each.runs for each in found.values()):
            return {"ready": False, "home": str(self.home), "services": []}
        rows = [containers.row(node, found.get(node.name), self.site.urls.get(node.name)) for node in self.site.graph]
        ready = all(containers.is_ready(node, found.get(node.name)) for node in self.site.graph)
        return {"ready": ready, "home": str(self.home), "services": rows, "notes": list(self.notes())}

    def notes(self) -> Iterator[str]:
        """What a site chose and must not forget."""
        if self.settings.auth == "off":
            yield f"authentication is off: HOMEPORT_AUTH=off ({self.settings.source('auth')})"

    @property
    def names(self) -> tuple[str, ...]:
        """The host names that lead to what runs."""
        return tuple(url.removeprefix("https://").split(":")[0] for url in self.site.urls.values())

    def unresolved(self) -> Iterator[str]:
        """What to mend so that programs of this machine find the gateway by its names."""
        if missing := names.unresolved(self.names):
            yield f"programs on this machine do not find {', '.join(missing)}: {names.mend(missing)}"

    def logs(self, services: Sequence[str], *, lines: int, follow: bool) -> Iterator[LogLine]:
        """Lines of the services' logs, past ones merged by time."""
        yield from read_logs(self.site.project, services, self.site.environ, lines=lines, follow=follow)

    def log_names(self) -> list[str]:
        """Services that have a container, and so a log."""
        return sorted(self.site.containers())

    @property
    def tracking_uri(self) -> str:
        """URL of the tracking server.

        Raises:
            HomeportError: NOT_RUNNING.
        """
        return self.url("tracking")

    @property
    def serving_url(self) -> str | None:
        """URL of the serving API; None when nothing is served.

        Raises:
            HomeportError: NOT_RUNNING.
        """
        return self.url("serving") if "serving" in self.site.graph else None

    def url(self, service: str) -> str:
        """URL of a service of the running platform."""
        if not self.running:
            raise not_running(self.home)
        return self.site.urls[service]

    @property
    def ca(self) -> Path:
        """The certificate of the gateway's own CA; there is none where a public one signs."""
        return self.site.secrets / trust.CA

    @property
    def logs_in(self) -> bool:
        """Whether clients must log in."""
        return self.settings.auth != "off"

    def env(self, *, admin: bool = False) -> dict[str, str]:
        """The variables a client needs."""
        if admin:
            raise HomeportError(
                code="ADMIN_NOT_REACHABLE",
                what="there is no address for --admin",
                why=_NOT_FROM_OUTSIDE,
                fix="docker compose exec database psql -U mlflow, or: docker compose --profile admin up --wait",
                exit_code=ExitCode.USAGE,
            )
        env = {"MLFLOW_TRACKING_URI": self.tracking_uri}
        if serving := self.serving_url:
            env["HOMEPORT_SERVING_URL"] = serving
        ours = self._login(serving="HOMEPORT_SERVING_URL" in env) if self.logs_in else {}
        env |= ours | trust.environ(self.ca, self.site.ambient)
        if ours:
            # Marks them as this platform's own: a later `homeport up` in that shell must not take them as settings.
            env["HOMEPORT_EXPORTED"] = ",".join(sorted(ours))
        return env

    def client_environ(self) -> dict[str, str]:
        """The whole environment for a client program: the caller's, with `env()` over it."""
        environ = {**self.site.ambient, **self.env()}
        if not {"VIRTUAL_ENV", "CONDA_PREFIX"} & environ.keys():
            environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), environ.get("PATH", os.defpath)))
        return environ

    def _login(self, *, serving: bool) -> dict[str, str]:
        """What a client logs in with; who has an account of their own in the environment keeps it."""
        ambient = self.site.ambient
        exported = set(ambient.get("HOMEPORT_EXPORTED", "").split(","))
        own = {name for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_TOKEN") if ambient.get(name)}
        found: dict[str, str] = {}
        if serving:  # the first of several keys: the one that stays while another is taken out
            found["HOMEPORT_SERVING_KEY"] = self._secret("serving-key").split(",")[0].strip()
        if own <= exported:
            found["MLFLOW_TRACKING_USERNAME"] = self.settings.admin_username
            found["MLFLOW_TRACKING_PASSWORD"] = self._secret("admin-password")
        return found

    def _secret(self, name: str) -> str:
        file = Path(self.site.model.secrets.get(name) or self.site.secrets / name)
        try:
            return file.read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            raise HomeportError(
                code="SECRET_UNREADABLE",
                what=f'secret "{name}" cannot be read',
                evidence=(("file", f"{file}: {error.strerror or error}"),),
                why="clients log in with it",
                fix="run this as the user who made secrets/, or restore the file",
            ) from error

    def _copy_ca(self) -> None:
        """Put the certificate of the gateway's CA where clients of this machine find it."""
        if gateway.NAME not in self.site.graph:
            return
        source = f"{self.site.graph[gateway.NAME].volumes[0].mount}/{trust.CA}"
        half = self.ca.with_name(f".{trust.CA}.{os.getpid()}")
        done = self.site.call(commands.copy(self.site.project, gateway.NAME, source, half))
        if done.code == 0 and half.is_file():
            half.chmod(0o644)
            half.replace(self.ca)
        else:  # a public CA signs: nobody must be told of it
            half.unlink(missing_ok=True)
            self.ca.unlink(missing_ok=True)


def not_running(directory: Path) -> HomeportError:
    """The error of every command that needs a running platform."""
    return HomeportError(
        code="NOT_RUNNING",
        what="the platform is not running",
        evidence=(("directory", str(directory)),),
        fix="homeport up --target compose",
        exit_code=ExitCode.NOT_READY,
    )
