"""One project as it is now: its files, the model that Compose reads from them, and its containers. Changes nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from homeport.compose import commands, containers, engine, failure, place
from homeport.compose.commands import Project
from homeport.compose.containers import Container, Model
from homeport.compose.engine import Done, Engine, call
from homeport.errors import ExitCode, HomeportError
from homeport.model.graph import Graph
from homeport.model.service import Target
from homeport.settings import Settings
from homeport.stack import build

_ASK = 60.0  # s
_HTTPS = 443


class Site:
    """A project in its directory.

    Args:
        settings: the directory's.
        where: the directory.
        ambient: the caller's environment; os.environ when not given.
    """

    def __init__(self, settings: Settings, where: place.Place, ambient: Mapping[str, str] | None = None) -> None:
        self.settings, self.place = settings, where
        self.ambient = dict(os.environ if ambient is None else ambient)
        self.environ = place.environment(settings, self.ambient)

    @property
    def directory(self) -> Path:
        """Where the files are."""
        return self.place.directory

    @cached_property
    def engine(self) -> Engine:
        """The engine and Compose of this machine."""
        return engine.find(self.environ)

    @cached_property
    def project(self) -> Project:
        """How Compose is called for this directory.

        Raises:
            HomeportError: NOT_RUNNING where there is no compose.yaml.
        """
        if not self.place.made:
            raise HomeportError(
                code="NOT_RUNNING",
                what="there is no platform in this directory",
                evidence=(("looked for", str(self.directory / "compose.yaml")),),
                fix="homeport up --target compose, or name its directory: --directory",
                exit_code=ExitCode.NOT_READY,
            )
        return Project(self.engine.compose, self.directory, self.place.files(self.settings, self.environ))

    @cached_property
    def model(self) -> Model:
        """The project as Compose reads it.

        Raises:
            HomeportError: SETTING_MISSING or COMPOSE_INVALID.
        """
        asked = self.call(commands.config(self.project))
        if asked.code or not asked.out.strip():
            raise failure.bad_compose(asked.error)
        return Model.read(asked.out)

    @cached_property
    def graph(self) -> Graph:
        """The services and jobs that Compose would start now; those of other profiles are left out."""
        whole = build(self.settings, target=Target.CONTAINERS)
        return Graph(whole.name, [node for node in whole if node.name in self.model.services])

    @cached_property
    def urls(self) -> dict[str, str]:
        """Service -> its URL at the gateway, of those that have one."""
        own = self.settings.gateway == "own" and self.settings.https_port != _HTTPS
        port = f":{self.settings.https_port}" if own else ""
        routed = {node.name: node.container.route for node in self.graph if node.container.route}
        return {name: f"https://{route}.{self.settings.domain}{port}" for name, route in routed.items()}

    @property
    def secrets(self) -> Path:
        """The directory with the secret files."""
        return next((Path(file).parent for file in self.model.secrets.values()), self.directory / "secrets")

    def call(self, argv: list[str], timeout: float = _ASK) -> Done:
        """Run a command in the directory."""
        return call(argv, self.environ, self.directory, timeout)

    def containers(self) -> dict[str, Container]:
        """Service -> its container."""
        ids = self.call(commands.containers(self.engine.docker, self.model.name)).out.split()
        if not ids:
            return {}
        return containers.by_service(containers.read(self.call(commands.inspect(self.engine.docker, ids)).out))

    def last_lines(self, container: Container, lines: int) -> list[str]:
        """The last lines that a container wrote."""
        done = self.call(commands.last_lines(self.engine.docker, container.id, lines))
        return [*done.out.splitlines(), *done.error.splitlines()]

    def image_id(self, tag: str) -> str:
        """The id of an image on this machine; empty when it is not there."""
        return self.call(commands.images(self.engine.docker, [tag])).out.strip()

    def is_up(self, found: Mapping[str, Container]) -> bool:
        """Whether everything is ready and made from what the files say now."""
        if not all(containers.is_ready(node, found.get(node.name)) for node in self.graph):
            return False
        lines = self.call(commands.hashes(self.project)).out.splitlines()
        wanted = dict(line.split(maxsplit=1) for line in lines if line.strip())
        if any(found[node.name].config_hash != wanted.get(node.name, "").strip() for node in self.graph):
            return False
        tags = {node.name: str(self.model.services[node.name].get("image", "")) for node in self.graph}
        ids = {tag: self.image_id(tag) for tag in set(tags.values())}
        return all(found[name].image == ids[tag] for name, tag in tags.items())

    def check_secrets(self) -> None:
        """See that no secret file that a container gets is empty.

        Raises:
            HomeportError: SECRET_EMPTY.
        """
        used = {secret["source"] for service in self.model.services.values() for secret in service.get("secrets") or ()}
        for name in sorted(used):
            file = Path(self.model.secrets.get(name, ""))
            if file.is_file() and not file.stat().st_size:
                raise HomeportError(
                    code="SECRET_EMPTY",
                    what=f'secret "{name}" is empty',
                    evidence=(("file", str(file)),),
                    why="an empty password would let everybody in, or nobody",
                    fix=f"write it into {file}, or delete the file: the next start makes another",
                )

    def check_image(self) -> None:
        """Our own image is built in a clone; without one it must be there already, or be pulled.

        Raises:
            HomeportError: IMAGE_MISSING.
        """
        ours = self.model.services.get("tracking", {})
        if not ours.get("build"):
            return
        tag = str(ours.get("image", ""))
        context = Path(str(ours["build"].get("context", self.directory)))
        dockerfile = context / str(ours["build"].get("dockerfile", "Dockerfile"))
        if dockerfile.is_file() or "/" in tag or self.image_id(tag):
            return
        raise HomeportError(
            code="IMAGE_MISSING",
            what=f"there is no image {tag} on this machine",
            evidence=(("looked for", str(dockerfile)),),
            why="it is built in a clone of the project, and this directory is none",
            fix=f"in a clone: docker build -t {tag} -f images/homeport/Dockerfile .; or set HOMEPORT_IMAGE in .env",
        )
