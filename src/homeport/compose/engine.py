"""The Docker client, Compose and the engine of this machine: found, asked for versions, or refused with the fix."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from homeport.compose import commands
from homeport.errors import HomeportError

LEAST_COMPOSE = (2, 24, 4)  # the first with !reset and !override in overlays
LEAST_ENGINE = (25, 0)
_INSTALL = "install Docker Engine 25 or newer with Compose 2.24.4 or newer: https://docs.docker.com/engine/install/"
_ASK = 60.0  # s; an engine that takes longer to say its version does not work


@dataclass(frozen=True)
class Engine:
    """What runs containers here.

    Args:
        docker: the client's path.
        compose: how Compose is called.
        engine_version: of the engine, as it says it.
        compose_version: of Compose.
    """

    docker: str
    compose: tuple[str, ...]
    engine_version: str
    compose_version: str


@dataclass(frozen=True)
class Done:
    """What a command printed and how it ended."""

    code: int
    out: str
    error: str

    @property
    def last(self) -> str:
        """The last line of what it complained about."""
        lines = [line.strip() for line in (self.error or self.out).splitlines() if line.strip()]
        return lines[-1] if lines else f"exit {self.code}, and it said nothing"


def call(
    argv: Sequence[str], environ: Mapping[str, str], directory: Path | None = None, timeout: float | None = _ASK
) -> Done:
    """Run a command to its end; its exit code is part of the answer, not an error."""
    try:
        done = subprocess.run(
            argv, env=dict(environ), capture_output=True, text=True, errors="replace", timeout=timeout, check=False,
            stdin=subprocess.DEVNULL, cwd=directory,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Done(124, "", f"no answer within {timeout:g} s")
    return Done(done.returncode, done.stdout, done.stderr)


def find(environ: Mapping[str, str]) -> Engine:
    """The engine that can be used from here.

    Raises:
        HomeportError: DOCKER_MISSING, DOCKER_DENIED, DOCKER_NOT_RUNNING, DOCKER_TOO_OLD, COMPOSE_MISSING or
            COMPOSE_TOO_OLD.
    """
    docker = shutil.which("docker", path=environ.get("PATH"))
    if docker is None:
        raise HomeportError(
            code="DOCKER_MISSING",
            what="there is no Docker client on this machine",
            evidence=(("needed", "docker"), ("found", "nothing of that name on PATH")),
            why="--target compose runs the platform as containers",
            fix=f"{_INSTALL}; or run it without containers: homeport up",
        )
    asked = call(commands.version(docker), environ)
    if asked.code:
        raise _unreachable(asked, environ)
    engine_version = asked.out.strip()
    if parsed(engine_version) < LEAST_ENGINE:
        raise HomeportError(
            code="DOCKER_TOO_OLD",
            what="the Docker engine is too old",
            evidence=(("needed", "25 or newer"), ("found", engine_version)),
            why="older ones do not know start_interval, and a start would take minutes",
            fix=_INSTALL,
        )
    compose, compose_version = _compose(docker, environ)
    return Engine(docker, compose, engine_version, compose_version)


def _compose(docker: str, environ: Mapping[str, str]) -> tuple[tuple[str, ...], str]:
    alone = shutil.which("docker-compose", path=environ.get("PATH"))
    candidates: list[tuple[str, ...]] = [(docker, "compose"), *([(alone,)] if alone else [])]
    found: list[str] = []
    for program in candidates:
        asked = call([*program, "version", "--short"], environ)
        if asked.code:
            continue
        found.append(asked.out.strip())
        if parsed(found[-1]) >= LEAST_COMPOSE:
            return program, found[-1]
    least = ".".join(map(str, LEAST_COMPOSE))
    if found:
        raise HomeportError(
            code="COMPOSE_TOO_OLD",
            what="Docker Compose is too old",
            evidence=(("needed", f"{least} or newer"), ("found", ", ".join(found))),
            why="older ones do not understand compose.yaml",
            fix=_INSTALL,
        )
    raise HomeportError(
        code="COMPOSE_MISSING",
        what="there is no Docker Compose on this machine",
        evidence=(("needed", f"docker compose, or docker-compose, {least} or newer"), ("found", "neither")),
        fix="install the package docker-compose-plugin, or docker-compose-v2",
    )


def _unreachable(asked: Done, environ: Mapping[str, str]) -> HomeportError:
    """Why no engine answered: not allowed, or not there."""
    said = asked.last
    where = environ.get("DOCKER_HOST") or "the default socket, /var/run/docker.sock"
    evidence = (("engine", where), ("docker", said))
    if "permission denied" in asked.error.lower():
        return HomeportError(
            code="DOCKER_DENIED",
            what="this user may not talk to the Docker engine",
            evidence=evidence,
            why="the engine's socket belongs to root and the group docker",
            fix="sudo usermod -aG docker $USER and log in again (that group can do what root can), or rootless Docker",
        )
    return HomeportError(
        code="DOCKER_NOT_RUNNING",
        what="no Docker engine answers",
        evidence=evidence,
        why="it is not running, or DOCKER_HOST or the Docker context names another place",
        fix="sudo systemctl start docker, or start Docker Desktop; then: docker version",
    )


def parsed(version: str) -> tuple[int, ...]:
    """The numbers a version begins with; (0,) when there is none."""
    found = re.match(r"v?(\d+(?:\.\d+)*)", version.strip())
    return tuple(int(part) for part in found[1].split(".")) if found else (0,)
