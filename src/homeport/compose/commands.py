"""Every command line for Docker and Compose as a list of words. Starts nothing; never holds a secret."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

LABEL = "com.docker.compose"
_EVENTS = ("create", "start", "die", "health_status")


@dataclass(frozen=True)
class Project:
    """What every call of Compose is told.

    Args:
        compose: the program: ("docker", "compose") or ("docker-compose",).
        directory: where compose.yaml and .env are.
        files: Compose files in order; none: Compose finds them itself (COMPOSE_FILE).
    """

    compose: tuple[str, ...]
    directory: Path
    files: tuple[str, ...] = ()

    def argv(self, *words: str, every_profile: bool = False) -> list[str]:
        """A call of Compose. With `every_profile` it also sees what is started on demand only."""
        files = [word for file in self.files for word in ("--file", file)]
        profiles = ["--profile", "*"] if every_profile else []
        directory = ["--project-directory", str(self.directory)]
        return [*self.compose, *directory, *files, *profiles, "--ansi", "never", *words]


def config(project: Project) -> list[str]:
    """The whole model, variables filled in, as JSON."""
    return project.argv("config", "--format", "json")


def hashes(project: Project) -> list[str]:
    """A line `service hash` for each: a container with another hash has another configuration."""
    return project.argv("config", "--hash", "*")


def up(project: Project, *, build: bool, seconds: float) -> list[str]:
    """Start everything in order and return when all is healthy and every job is done."""
    built = ["--build"] if build else []
    waits = ["--wait", "--wait-timeout", str(max(1, int(seconds)))]
    return project.argv("up", "--detach", *waits, "--remove-orphans", "--quiet-pull", *built)


def stop(project: Project, services: list[str]) -> list[str]:
    """Stop these and keep their containers, so that their logs can still be read."""
    return project.argv("stop", *services, every_profile=True)


def down(project: Project, *, volumes: bool) -> list[str]:
    """Stop and remove containers and networks; volumes too when asked for."""
    return project.argv("down", "--remove-orphans", *(["--volumes"] if volumes else []), every_profile=True)


def restart(project: Project, service: str) -> list[str]:
    """Stop and start one service, its dependents stay."""
    return project.argv("restart", "--no-deps", service)


def wait(project: Project, service: str, seconds: float) -> list[str]:
    """Return when a service that runs is healthy; starts nothing else and changes nothing."""
    waits = ["--wait", "--wait-timeout", str(max(1, int(seconds)))]
    return project.argv("up", "--detach", *waits, "--no-deps", "--no-recreate", service)


def kill(project: Project) -> list[str]:
    """End every container at once."""
    return project.argv("kill", every_profile=True)


def logs(project: Project, services: list[str], *, lines: int, follow: bool = False, since: str = "") -> list[str]:
    """Past lines of the services with their times, and what follows."""
    words = ["--no-color", "--timestamps", "--tail", str(lines) if lines >= 0 else "all"]
    words += ["--follow"] if follow else []
    words += ["--since", since] if since else []
    return project.argv("logs", *words, *services, every_profile=True)


def copy(project: Project, service: str, path: str, target: Path) -> list[str]:
    """Copy a file out of a service's container."""
    return project.argv("cp", f"{service}:{path}", str(target))


def containers(docker: str, name: str) -> list[str]:
    """The ids of a project's containers, ended ones too."""
    return [docker, "ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={LABEL}.project={name}"]


def volumes(docker: str, name: str) -> list[str]:
    """The names of a project's volumes."""
    return [docker, "volume", "ls", "--quiet", "--filter", f"label={LABEL}.project={name}"]


def inspect(docker: str, ids: list[str]) -> list[str]:
    """Everything the engine knows of these containers, as JSON."""
    return [docker, "container", "inspect", *ids]


def images(docker: str, tags: list[str]) -> list[str]:
    """A line `id` for each image that is on this machine."""
    return [docker, "image", "inspect", "--format", "{{.Id}}", *tags]


def last_lines(docker: str, container: str, lines: int) -> list[str]:
    """The last lines of one container."""
    return [docker, "logs", "--tail", str(lines), container]


def events(docker: str, name: str, since: float) -> list[str]:
    """What happens to a project's containers, one JSON object a line, from a time (seconds since the epoch) on."""
    wanted = [word for event in _EVENTS for word in ("--filter", f"event={event}")]
    project = ["--filter", "type=container", "--filter", f"label={LABEL}.project={name}"]
    return [docker, "events", "--since", f"{since:.3f}", "--format", "{{json .}}", *project, *wanted]


def version(docker: str) -> list[str]:
    """The engine's version; fails when no engine answers."""
    return [docker, "version", "--format", "{{.Server.Version}}"]
