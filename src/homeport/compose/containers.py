"""Containers as the engine describes them, and how each service of the graph stands because of it. Asks nobody."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from homeport.compose.commands import LABEL
from homeport.model.graph import Node
from homeport.model.service import Job

_NEVER = "0001-01-01T00:00:00Z"


@dataclass(frozen=True)
class Container:
    """One container of the project.

    Args:
        id: its whole id.
        service: the Compose service it belongs to.
        status: created, running, restarting, exited, paused, dead or removing.
        health: healthy, unhealthy, starting; empty when it has no health check.
        exit_code: of its last process.
        pid: on the host; 0 when it does not run.
        restarts: how often the engine started it again by itself.
        started: ISO 8601.
        finished: ISO 8601; empty when it never ended.
        probe: what its last failed health check said.
        trouble: what the engine said when it could not start it.
        out_of_memory: whether the kernel killed it for its memory limit.
        config_hash: of the configuration it was made from.
        image: the id of the image it was made from.
    """

    id: str
    service: str
    status: str
    health: str = ""
    exit_code: int = 0
    pid: int = 0
    restarts: int = 0
    started: str = ""
    finished: str = ""
    probe: str = ""
    trouble: str = ""
    out_of_memory: bool = False
    config_hash: str = ""
    image: str = ""

    @property
    def runs(self) -> bool:
        """Whether there is, or soon will be again, a process."""
        return self.status in {"running", "restarting", "paused"}


@dataclass(frozen=True)
class Model:
    """The project as Compose read it: its name, its services, what they publish, where its secrets are.

    Args:
        name: the project's.
        services: service -> its definition, only those of active profiles.
        secrets: secret -> file.
    """

    name: str
    services: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str) -> Model:
        """What `docker compose config --format json` printed."""
        data = json.loads(text)
        secrets = {name: str(secret.get("file", "")) for name, secret in (data.get("secrets") or {}).items()}
        return cls(str(data["name"]), data.get("services") or {}, secrets)

    def published(self) -> list[tuple[str, str, int]]:
        """(service, address, port) of all that is reached from outside."""
        found = []
        for name, service in self.services.items():
            for port in service.get("ports") or ():
                if port.get("published") and "-" not in str(port["published"]):
                    found.append((name, str(port.get("host_ip") or "0.0.0.0"), int(port["published"])))  # noqa: S104
        return found


def read(text: str) -> list[Container]:
    """What `docker container inspect` printed; containers of `docker compose run` are left out."""
    return [_container(each) for each in json.loads(text or "[]") if not _is_one_off(each)]


def by_service(containers: Iterable[Container]) -> dict[str, Container]:
    """Service -> container; the running one where an older one is still there."""
    found: dict[str, Container] = {}
    for each in containers:
        if each.service not in found or each.runs:
            found[each.service] = each
    return found


def _is_one_off(data: Mapping[str, Any]) -> bool:
    return str(data["Config"]["Labels"].get(f"{LABEL}.oneoff", "")).lower() == "true"


def _container(data: Mapping[str, Any]) -> Container:
    labels, state = data["Config"]["Labels"], data["State"]
    health = state.get("Health") or {}
    checks = [check for check in health.get("Log") or () if check.get("ExitCode")]
    finished = state.get("FinishedAt", _NEVER)
    return Container(
        id=data["Id"],
        service=labels.get(f"{LABEL}.service", ""),
        status=state["Status"],
        health=health.get("Status", "").replace("none", ""),
        exit_code=int(state.get("ExitCode", 0)),
        pid=int(state.get("Pid", 0)),
        restarts=int(data.get("RestartCount", 0)),
        started="" if state.get("StartedAt", _NEVER) == _NEVER else state["StartedAt"],
        finished="" if finished == _NEVER else finished,
        probe=str(checks[-1].get("Output", "")).strip() if checks else "",
        trouble=state.get("Error", ""),
        out_of_memory=bool(state.get("OOMKilled")),
        config_hash=labels.get(f"{LABEL}.config-hash", ""),
        image=data.get("Image", ""),
    )


def state(node: Node, container: Container | None) -> str:
    """Where a service or a job is in its life, in the words that plain processes have for it."""
    if container is None or container.status == "created":
        return "pending"
    if container.status == "restarting":
        return "backoff"
    if container.status == "paused":
        return "unhealthy"
    if container.status == "running":
        return {"healthy": "healthy", "unhealthy": "unhealthy"}.get(container.health, "running")
    if isinstance(node, Job):
        return "failed" if container.exit_code or container.trouble else "completed"
    return "stopped"


_HEALTH = {"healthy": "healthy", "unhealthy": "unhealthy", "backoff": "unhealthy", "failed": "unhealthy"}
_STARTING = frozenset({"pending", "running"})


def row(node: Node, container: Container | None, url: str | None = None) -> dict[str, object]:
    """The row of `homeport status` for one service or job; the same keys as plain processes have."""
    now = state(node, container)
    probed = not isinstance(node, Job) and node.probe is not None
    health = ("starting" if now in _STARTING else _HEALTH.get(now, "none")) if probed else "none"
    since = (container.started if container.runs else container.finished or container.started) if container else ""
    return {
        "name": node.name,
        "kind": "job" if isinstance(node, Job) else "service",
        "owner": node.owner if isinstance(node, Job) else node.name,
        "state": now,
        "health": health,
        "pid": (container.pid or None) if container else None,
        "url": url,
        "restarts": container.restarts if container else 0,
        "since": _milliseconds(since),
        "detail": _detail(now, container),
    }


def is_ready(node: Node, container: Container | None) -> bool:
    """Whether `up` need not wait for it any longer."""
    now = state(node, container)
    if isinstance(node, Job):
        return now == "completed"
    return now == ("healthy" if container is not None and container.health else "running")


def _detail(now: str, container: Container | None) -> str:
    if container is None or now in {"healthy", "completed", "pending"}:
        return ""
    if container.status == "paused":
        return "paused: docker compose unpause"
    if container.out_of_memory:
        return "out of memory: it was killed at its limit"
    if now in {"failed", "backoff", "stopped"}:
        return container.trouble or f"exit {container.exit_code}"
    return container.probe.splitlines()[-1] if container.probe else ""


def _milliseconds(text: str) -> str:
    """The engine's nanoseconds as milliseconds."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return f"{whole}.{fraction[:3]:0<3}Z" if whole else ""
