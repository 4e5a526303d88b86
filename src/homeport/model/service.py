"""Services, jobs, probes, ports and volumes as frozen data. Nothing here starts, formats or looks up anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from homeport.model.values import Value


class Condition(StrEnum):
    """What a service waits for in another; Compose calls them service_started, _healthy, _completed_successfully."""

    STARTED = "started"
    HEALTHY = "healthy"
    COMPLETED = "completed"


STARTED, HEALTHY, COMPLETED = Condition.STARTED, Condition.HEALTHY, Condition.COMPLETED


class Target(StrEnum):
    """Where a graph is to run. In containers third-party programs come as images, and clients must log in."""

    EMBEDDED = "embedded"
    CONTAINERS = "containers"


class Restart(StrEnum):
    """When a service that ended is started again. Names as in Compose."""

    NO = "no"
    ON_FAILURE = "on-failure"
    UNLESS_STOPPED = "unless-stopped"


@dataclass(frozen=True)
class Port:
    """A port a service listens on. `number` is the port in a container; `local` the one on this machine.

    Args:
        name: how the service's other values call it.
        number: TCP port inside a container, 1 to 65535.
        local: TCP port on the loopback interface for embedded; None: a free one is chosen and kept.
        setting: the setting that changes `local`, named in the message when the port is taken.
    """

    name: str
    number: int
    local: int | None = None
    setting: str = ""


@dataclass(frozen=True)
class Volume:
    """A place whose content outlives the service, mounted at `mount` in a container."""

    name: str
    mount: str


@dataclass(frozen=True)
class File:
    """A read-only file of the project, for a program of others that is configured by one.

    Args:
        source: path relative to the project's root.
        mount: absolute path in the container.
    """

    source: str
    mount: str


@dataclass(frozen=True)
class Publish:
    """A port that the outside reaches: on the host's address and port that two settings say.

    Args:
        port: name of the service's port.
        address: the host's address.
        number: the host's port.
    """

    port: str
    address: Value
    number: Value


@dataclass(frozen=True, kw_only=True)
class Container:
    """How a service runs as a container. What is left out is as in our own image; embedded ignores all of it.

    Args:
        image: image of another maker; empty: our own.
        variant: our own with something beside it, made by images/VARIANT/Dockerfile on top of ours.
        entrypoint: replaces the image's.
        user: `uid:gid`, numeric where the image's names are not sure.
        networks: which networks it is in; the first is the one it is reached by.
        tmpfs: writable directories that are forgotten; the root file system is read-only.
        memory: limit, as Docker writes it.
        pids: most processes and threads.
        capabilities: what it keeps of all that is dropped.
        files: read-only files of the project.
        publish: what the outside reaches.
        route: subdomain under which the gateway offers its port `main`; empty: not at all.
        profile: started only when this profile is asked for.
        build: whether our own image is built from this service (one does, the others use it).
        binds: directories of the host, mounted at the same path.
    """

    image: str = ""
    variant: str = ""
    entrypoint: tuple[str, ...] = ()
    user: Value = ""
    networks: tuple[str, ...] = ("backend",)
    tmpfs: tuple[str, ...] = ("/tmp",)  # noqa: S108 - a mount in a container
    memory: str = "512m"
    pids: int = 256
    capabilities: tuple[str, ...] = ()
    files: tuple[File, ...] = ()
    publish: tuple[Publish, ...] = ()
    route: str = ""
    profile: str = ""
    build: bool = False
    binds: tuple[Value, ...] = ()


@dataclass(frozen=True)
class HttpProbe:
    """Passes on a 2xx answer to GET `path`. The body of any other answer is kept as the reason."""

    path: str
    port: str = "main"


@dataclass(frozen=True)
class TcpProbe:
    """Passes when the port accepts a connection."""

    port: str = "main"


@dataclass(frozen=True)
class ExecProbe:
    """Passes when the command exits 0. Its last line of output is kept as the reason."""

    command: tuple[Value, ...]


@dataclass(frozen=True)
class Probe:
    """How, how often and how patiently a service is asked whether it is healthy. Times in seconds.

    Args:
        check: what is asked.
        interval: pause between two checks once healthy.
        start_interval: pause between two checks until the first one passes.
        timeout: how long one check may take.
        start_timeout: how long until the first pass, before the start counts as failed.
        failures: consecutive failures that make a healthy service unhealthy.
    """

    check: HttpProbe | TcpProbe | ExecProbe
    interval: float = 5.0
    start_interval: float = 0.1
    timeout: float = 5.0
    start_timeout: float = 60.0
    failures: int = 3


def _frozen(mapping: Mapping[str, Value]) -> Mapping[str, Value]:
    return MappingProxyType(dict(mapping))


@dataclass(frozen=True, kw_only=True)
class Service:
    """A program that runs until it is stopped.

    Args:
        name: plain noun, the same on every target.
        title: what it is, for people.
        command: argv; may hold any value but a secret.
        env: environment; the child sees these and a short list of neutral variables (PATH, HOME, locale, TLS roots).
        needs: service or job name -> condition that must hold first.
        probe: how health is asked; None: healthy cannot be asked of it.
        ports: what it listens on.
        volumes: what it keeps.
        restart: when it is started again after it ended by itself.
        stop_signal: what asks it to end, for example SIGTERM.
        stop_timeout: seconds until SIGKILL follows.
        inherit: prefixes of variables of the caller's environment that the child sees too.
        container: how it runs as a container.
    """

    name: str
    title: str
    command: tuple[Value, ...]
    env: Mapping[str, Value] = field(default_factory=dict)
    needs: Mapping[str, Condition] = field(default_factory=dict)
    probe: Probe | None = None
    ports: tuple[Port, ...] = ()
    volumes: tuple[Volume, ...] = ()
    restart: Restart = Restart.UNLESS_STOPPED
    stop_signal: str = "SIGTERM"
    stop_timeout: float = 10.0
    inherit: tuple[str, ...] = ()
    container: Container = field(default_factory=Container)

    def __post_init__(self) -> None:
        """Freeze the mappings."""
        object.__setattr__(self, "env", _frozen(self.env))
        object.__setattr__(self, "needs", MappingProxyType(dict(self.needs)))


@dataclass(frozen=True, kw_only=True)
class Job:
    """A program that runs once and must exit 0 before whoever needs it COMPLETED goes on.

    Args:
        owner: the service in whose line `status` shows the job's progress.
        timeout: seconds until the job counts as failed.
        retries: how often it is run again after a failure. Others as in `Service`.
    """

    name: str
    title: str
    command: tuple[Value, ...]
    owner: str
    env: Mapping[str, Value] = field(default_factory=dict)
    needs: Mapping[str, Condition] = field(default_factory=dict)
    volumes: tuple[Volume, ...] = ()
    timeout: float = 300.0
    retries: int = 0
    stop_signal: str = "SIGTERM"
    stop_timeout: float = 10.0
    inherit: tuple[str, ...] = ()
    container: Container = field(default_factory=Container)

    def __post_init__(self) -> None:
        """Freeze the mappings."""
        object.__setattr__(self, "env", _frozen(self.env))
        object.__setattr__(self, "needs", MappingProxyType(dict(self.needs)))
