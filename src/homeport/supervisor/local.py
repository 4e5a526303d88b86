"""The embedded target: what a service's values are on this machine.

Addresses are on 127.0.0.1, secrets and volumes in the home. Ports without a fixed number are chosen once, kept in
run/ports.json and chosen again while they are free.
"""

from __future__ import annotations

import os
from pathlib import Path as FilePath

from homeport.errors import ExitCode, HomeportError
from homeport.model.graph import Graph
from homeport.model.service import Port
from homeport.model.values import Bind, Part, Path, Ref, Secret, Setting
from homeport.supervisor import ports, secret
from homeport.supervisor.files import disk_error, read_json, write_json
from homeport.supervisor.layout import Home, private


class LocalTarget:
    """Answers what the values of one graph are in one home; a `homeport.model.values.Resolver`.

    Reading an address never asks whether the port is free, so a command beside a running Homeport gets its answers.
    """

    def __init__(self, graph: Graph, home: Home) -> None:
        self.graph = graph
        self.home = home
        self._chosen: dict[str, int] | None = None

    def address(self, service: str, port: str = "main") -> tuple[str, int]:
        """Where a service's port is reached on this machine.

        Raises:
            HomeportError: NO_FREE_PORT, DISK_FULL or HOME_NOT_WRITABLE when a port has to be chosen.
        """
        fixed = self.graph.ports()[service, port].local
        if fixed is not None:
            return ports.LOOPBACK, fixed
        key = _key(service, port)
        if key not in self._kept():
            self._keep({**self._kept(), key: ports.choose(self._numbers())})
        return ports.LOOPBACK, self._kept()[key]

    def check_ports(self) -> None:
        """Make sure that every port can be listened on, before anything starts. Replaces chosen ones that are taken.

        Raises:
            HomeportError: PORT_TAKEN naming every fixed port that is taken; PORT_TWICE when two services want one.
        """
        wanted = self.graph.ports()
        _check_twice(wanted)
        taken = [
            (service, port)
            for (service, _), port in wanted.items()
            if port.local is not None and not ports.free(port.local)
        ]
        if taken:
            raise _taken(taken)
        fresh = dict(self._kept())
        for (service, name), port in wanted.items():
            key = _key(service, name)
            if port.local is None and not (key in fresh and ports.free(fresh[key])):
                fresh[key] = ports.choose(self._numbers() | set(fresh.values()))
        if fresh != self._kept():
            self._keep(fresh)

    def check_secrets(self) -> None:
        """Make sure that every secret made before can still be read, before anything starts.

        Raises:
            HomeportError: SECRET_UNREADABLE.
        """
        for value in self.graph.secrets().values():
            path = self.home.secrets / value.name
            if value.given is None and os.path.lexists(path):
                secret.read(path)

    def ref(self, holder: str, value: Ref) -> str:
        """Another service's address, host or port."""
        del holder  # The same from everywhere on one machine.
        return _part(self.address(value.service, value.port), value.part)

    def bind(self, holder: str, value: Bind) -> str:
        """The address, host or port that the holder listens on."""
        return _part(self.address(holder, value.port), value.part)

    def secret(self, value: Secret) -> str:
        """The secret: as given, else as kept, else made and kept.

        Raises:
            HomeportError: SECRET_UNREADABLE, DISK_FULL or HOME_NOT_WRITABLE.
        """
        return value.given if value.given is not None else secret.kept(self.home.secrets / value.name, value.kind)

    def secret_file(self, value: Secret) -> str:
        """A private file that holds the secret. A given one never writes over the kept one."""
        if value.given is None:
            path = self.home.secrets / value.name
            secret.kept(path, value.kind)
        else:
            path = self.home.given / value.name
            secret.given(path, value.given)
        return str(path)

    def setting(self, value: Setting) -> str:
        """The value it has now."""
        return value.text

    def path(self, holder: str, value: Path) -> str:
        """A path inside a volume; the volume's directory exists afterwards.

        Raises:
            HomeportError: DISK_FULL, HOME_NOT_WRITABLE or HOME_NOT_A_DIRECTORY.
        """
        volume = self.volume(value.volume)
        try:
            if not volume.exists():
                private(volume)
        except OSError as error:
            raise disk_error(error, f'volume "{value.volume}" of {holder} could not be made') from error
        return str(volume / value.below) if value.below else str(volume)

    def volume(self, name: str) -> FilePath:
        """The directory of a volume."""
        return self.home.data / name

    def _kept(self) -> dict[str, int]:
        if self._chosen is None:
            found = read_json(self.home.ports) or {}
            self._chosen = {key: port for key, port in found.items() if isinstance(port, int)}
        return self._chosen

    def _keep(self, chosen: dict[str, int]) -> None:
        try:
            self.home.run.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_json(self.home.ports, chosen)
        except OSError as error:
            raise disk_error(error, "the chosen ports could not be kept") from error
        self._chosen = chosen

    def _numbers(self) -> set[int]:
        fixed = {port.local for port in self.graph.ports().values() if port.local is not None}
        return fixed | set(self._kept().values())


def _key(service: str, port: str) -> str:
    return f"{service}/{port}"


def _part(address: tuple[str, int], part: Part) -> str:
    host, port = address
    return {Part.ADDRESS: f"{host}:{port}", Part.HOST: host, Part.PORT: str(port)}[part]


def _check_twice(wanted: dict[tuple[str, str], Port]) -> None:
    seen: dict[int, tuple[str, Port]] = {}
    for (service, _), port in wanted.items():
        if port.local is None:
            continue
        if port.local in seen:
            other, theirs = seen[port.local]
            raise HomeportError(
                code="PORT_TWICE",
                what=f"port {port.local} is wanted by both {other} and {service}",
                why="two services cannot listen on one port",
                fix=f"change {port.setting or theirs.setting or 'one of them'}",
                exit_code=ExitCode.USAGE,
            )
        seen[port.local] = service, port


def _taken(taken: list[tuple[str, Port]]) -> HomeportError:
    names = ", ".join(f"{port.local} ({service})" for service, port in taken)
    settings = [f"{port.setting}={(port.local or 0) + 1}" for _, port in taken if port.setting]
    choose = f", or choose another port: {' '.join(settings)}" if settings else ""
    return HomeportError(
        code="PORT_TAKEN",
        what=f"port{'s' if len(taken) > 1 else ''} {names} {'are' if len(taken) > 1 else 'is'} taken",
        evidence=tuple((f"port {port.local}", f"held by {ports.holder(port.local or 0)}") for _, port in taken),
        why="another program listens there, and nothing was started",
        fix=f"stop that program{choose}",
    )
