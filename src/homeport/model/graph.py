"""The graph of services and jobs: valid or refused, ordered, drawn. Knows nothing of processes or containers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from homeport.errors import ExitCode, HomeportError
from homeport.model.service import Condition, HttpProbe, Job, Port, Service, TcpProbe, Volume
from homeport.model.values import Bind, Path, Ref, Secret, SecretFile, Value, leaves, secrets_in

Node = Service | Job
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")


class Graph:
    """Services and jobs in a valid order.

    Args:
        name: what the whole is called.
        nodes: services and jobs in the order they are shown.

    Raises:
        HomeportError: GRAPH_* when a name repeats, a dependency or a port is unknown, a condition cannot hold, there
            is a cycle, or a secret would stand in a command line. Each names both ends.
    """

    def __init__(self, name: str, nodes: Iterable[Node]) -> None:
        self.name = name
        self.nodes: Mapping[str, Node] = _by_name(nodes)
        for node in self:
            _check_needs(node, self.nodes)
            _check_values(node, self.nodes)
        self.stages: tuple[tuple[str, ...], ...] = _stages(self.nodes)

    def __iter__(self) -> Iterator[Node]:
        """The nodes in the order they are shown."""
        return iter(self.nodes.values())

    def __getitem__(self, name: str) -> Node:
        """The service or job of that name."""
        return self.nodes[name]

    def __contains__(self, name: object) -> bool:
        """Whether there is a service or job of that name."""
        return name in self.nodes

    @property
    def services(self) -> tuple[Service, ...]:
        """The long-running ones, in the order they are shown."""
        return tuple(node for node in self if isinstance(node, Service))

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The run-once ones, in the order they are shown."""
        return tuple(node for node in self if isinstance(node, Job))

    @property
    def start_order(self) -> tuple[str, ...]:
        """Names so that each comes after all it needs."""
        return tuple(name for stage in self.stages for name in stage)

    @property
    def stop_order(self) -> tuple[str, ...]:
        """The start order reversed: whoever needs a service is stopped before it."""
        return self.start_order[::-1]

    def dependents(self, name: str) -> tuple[str, ...]:
        """Who needs `name` directly."""
        return tuple(node.name for node in self if name in node.needs)

    def secrets(self) -> dict[str, Secret]:
        """Every secret of the graph by name."""
        return {secret.name: secret for node in self for secret in secrets_in(node.env)}

    def volumes(self) -> dict[str, Volume]:
        """Every volume of the graph by name."""
        return {volume.name: volume for node in self for volume in node.volumes}

    def ports(self) -> dict[tuple[str, str], Port]:
        """Every port by (service, port name)."""
        return {(service.name, port.name): port for service in self.services for port in service.ports}


def _by_name(nodes: Iterable[Node]) -> Mapping[str, Node]:
    found: dict[str, Node] = {}
    for node in nodes:
        if node.name in found:
            raise _invalid("GRAPH_DUPLICATE", f'two services are called "{node.name}"', "give one of them another name")
        for name in (node.name, *(volume.name for volume in node.volumes), *(s.name for s in secrets_in(node.env))):
            # Names become file names, DNS names and Compose services.
            if not _NAME.fullmatch(name):
                raise _invalid("GRAPH_NAME", f'"{name}" is no name', "use a-z, 0-9 and hyphens, a letter first")
        found[node.name] = node
    return found


def _check_needs(node: Node, nodes: Mapping[str, Node]) -> None:
    for name, condition in node.needs.items():
        other = nodes.get(name)
        if other is None:
            raise _invalid(
                "GRAPH_UNKNOWN_DEPENDENCY",
                f'"{node.name}" needs "{name}", and there is no service or job of that name',
                f"name one of: {', '.join(sorted(nodes))}",
            )
        if condition is Condition.COMPLETED and isinstance(other, Service):
            raise _invalid(
                "GRAPH_NEVER_COMPLETES",
                f'"{node.name}" needs "{name}" completed, and "{name}" is a service that runs until it is stopped',
                f'need "{name}" healthy, or make it a job',
            )
        if condition is Condition.HEALTHY and (isinstance(other, Job) or other.probe is None):
            raise _invalid(
                "GRAPH_NO_PROBE",
                f'"{node.name}" needs "{name}" healthy, and "{name}" has no probe that could say so',
                f'give "{name}" a probe, or need it started or completed',
            )
    if isinstance(node, Job) and node.owner not in nodes:
        raise _invalid(
            "GRAPH_UNKNOWN_OWNER",
            f'job "{node.name}" belongs to "{node.owner}", which is no service',
            "name its service",
        )


def _check_values(node: Node, nodes: Mapping[str, Node]) -> None:
    for value in node.command:
        for leaf in leaves(value):
            if isinstance(leaf, Secret):
                # Anybody on the machine can read a command line.
                raise _invalid(
                    "GRAPH_SECRET_IN_ARGV",
                    f'the command of "{node.name}" holds the secret "{leaf.name}"',
                    "pass it by environment or as a SecretFile",
                )
    own_ports = {port.name for port in node.ports} if isinstance(node, Service) else set()
    for value in _values(node):
        for leaf in leaves(value):
            match leaf:
                case Ref(service=service, port=port):
                    other = nodes.get(service)
                    if not isinstance(other, Service) or port not in {p.name for p in other.ports}:
                        raise _invalid(
                            "GRAPH_UNKNOWN_PORT",
                            f'"{node.name}" refers to port "{port}" of "{service}", which does not exist',
                            "name a service and one of its ports",
                        )
                case Bind(port=port) if port not in own_ports:
                    raise _invalid(
                        "GRAPH_UNKNOWN_PORT", f'"{node.name}" has no port "{port}"', "name one of its own ports"
                    )
                case Path(volume=volume) if volume not in {v.name for v in node.volumes}:
                    raise _invalid(
                        "GRAPH_UNKNOWN_VOLUME", f'"{node.name}" has no volume "{volume}"', "name one of its own volumes"
                    )
                case _:
                    pass
    if isinstance(node, Service) and node.probe is not None:
        check = node.probe.check
        if isinstance(check, HttpProbe | TcpProbe) and check.port not in own_ports:
            raise _invalid(
                "GRAPH_UNKNOWN_PORT",
                f'the probe of "{node.name}" asks its port "{check.port}"',
                "name one of its ports",
            )


def _values(node: Node) -> Iterator[Value | SecretFile]:
    yield from node.command
    yield from node.env.values()
    if isinstance(node, Service) and node.probe is not None and not isinstance(node.probe.check, HttpProbe | TcpProbe):
        yield from node.probe.check.command


def _stages(nodes: Mapping[str, Node]) -> tuple[tuple[str, ...], ...]:
    """Names in waves: each wave needs only earlier ones (Kahn 1962)."""
    waiting = {node.name: set(node.needs) for node in nodes.values()}
    stages: list[tuple[str, ...]] = []
    while waiting:
        free = tuple(name for name, needs in waiting.items() if not needs)
        if not free:
            cycle = _cycle(waiting)
            raise _invalid(
                "GRAPH_CYCLE", f"services need each other in a circle: {' -> '.join(cycle)}", "remove one need"
            )
        stages.append(free)
        waiting = {name: needs - set(free) for name, needs in waiting.items() if name not in free}
    return tuple(stages)


def _cycle(waiting: Mapping[str, set[str]]) -> list[str]:
    """One circle, first name repeated at the end. Every name in `waiting` still needs another in it."""
    path = [next(iter(waiting))]
    while True:
        following = min(name for name in waiting[path[-1]] if name in waiting)
        if following in path:
            return [*path[path.index(following) :], following]
        path.append(following)


def _invalid(code: str, what: str, fix: str) -> HomeportError:
    return HomeportError(code=code, what=what, why="the service graph is not valid", fix=fix, exit_code=ExitCode.USAGE)
