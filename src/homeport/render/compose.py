"""A graph as a Compose document: ordered data, ready to be written as text. Looks nothing up and writes no file."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from homeport.errors import ExitCode, HomeportError
from homeport.model.graph import Graph, Node
from homeport.model.service import Condition, ExecProbe, HttpProbe, Probe, Restart, Service
from homeport.render.text import Flow
from homeport.render.values import ComposeValues, literal, secrets_of
from homeport.services import images
from homeport.services.gateway import labels
from homeport.settings import Settings

Document = dict[str, Any]

VERSION = version("homeport")
OURS = f"${{HOMEPORT_IMAGE:-homeport:{VERSION}}}"
SECRETS = "${HOMEPORT_SECRETS:-./secrets}"
_CONDITIONS = {
    Condition.STARTED: "service_started",
    Condition.HEALTHY: "service_healthy",
    Condition.COMPLETED: "service_completed_successfully",
}
_START_INTERVAL = 0.5  # s; a check is a process in the container, not a call as for plain processes

# What every container has, and what ours have besides; written once in the file, as anchors.
PROBE: Document = {
    "interval": "5s",
    "timeout": "5s",
    "retries": 3,
    "start_period": "60s",
    "start_interval": f"{_START_INTERVAL:g}s",
}
CONTAINER: Document = {
    "restart": "unless-stopped",
    "read_only": True,
    "tmpfs": ["/tmp"],  # noqa: S108 - a mount in a container
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "networks": ["backend"],
    "pids_limit": 256,
    "stop_grace_period": "10s",
    "logging": {"driver": "json-file", "options": Flow({"max-size": "10m", "max-file": "3"})},
}
OUR_OWN: Document = {"image": OURS, "user": images.USER}


def document(settings: Settings, graph: Graph, values: ComposeValues) -> Document:
    """The Compose document of a graph: `name`, `services`, `networks`, `volumes`, `secrets`.

    Raises:
        HomeportError: RENDER_* when the graph holds what Compose cannot run.
    """
    return {
        "name": graph.name,
        "services": {node.name: _service(settings, graph, node, values) for node in graph},
        "networks": _networks(settings, graph, values),
        "volumes": dict.fromkeys(graph.volumes()),
        "secrets": {name: {"file": f"{SECRETS}/{name}"} for name in sorted(_secrets(graph))},
    }


def _service(settings: Settings, graph: Graph, node: Node, values: ComposeValues) -> Document:
    """One service or job; what it shares with others is in it too, the writer leaves that out."""
    found = {
        **_program(node, values),
        **_order(node, values),
        **CONTAINER,
        "restart": node.restart.value if isinstance(node, Service) else Restart.NO.value,
        "networks": list(_joined(settings, node)),
        **_limits(node),
        "ports": _published(node, values),
        "volumes": list(_volumes(node, values)),
        "labels": _labels(settings, node, values),
    }
    return {key: value for key, value in found.items() if value or key == "entrypoint"}


def _program(node: Node, values: ComposeValues) -> Document:
    """What runs, as whom, and what it is told."""
    container = node.container
    found: Document = {"image": container.image} if container.image else dict(OUR_OWN)
    if container.build:
        found["build"] = {"context": ".", "dockerfile": "images/homeport/Dockerfile"}
    if container.variant:
        name, args = container.variant, Flow({"HOMEPORT_IMAGE": OURS})
        found["image"] = f"${{HOMEPORT_{name.upper()}_IMAGE:-homeport-{name}:{VERSION}}}"
        found["build"] = {"context": ".", "dockerfile": f"images/{name}/Dockerfile", "args": args}
    if container.profile:
        found["profiles"] = [container.profile]
    if container.entrypoint:
        # An empty one: the command is the whole of it, whatever the image starts with.
        found["entrypoint"] = [part for part in container.entrypoint if part]
    found["command"] = [values.text(part, node.name) for part in node.command]
    if container.user:
        found["user"] = values.text(container.user, node.name)
    found["environment"] = values.environment(node)
    found["secrets"] = list(secrets_of(node))
    return found


def _order(node: Node, values: ComposeValues) -> Document:
    """What it waits for, and how it is asked whether others may go on."""
    needs = {name: Flow({"condition": _CONDITIONS[condition]}) for name, condition in node.needs.items()}
    check = _healthcheck(node, node.probe, values) if isinstance(node, Service) and node.probe else {}
    return {"depends_on": needs, "healthcheck": check}


def _limits(node: Node) -> Document:
    """What it may use, and how it ends."""
    container = node.container
    return {
        "tmpfs": list(container.tmpfs),
        "cap_add": list(container.capabilities),
        "mem_limit": container.memory,
        "pids_limit": container.pids,
        "init": bool(container.image),  # ours has an init of its own
        "stop_signal": node.stop_signal if node.stop_signal != "SIGTERM" else "",
        "stop_grace_period": _seconds(node.stop_timeout),
    }


def _published(node: Node, values: ComposeValues) -> list[str]:
    return [
        f"{values.text(each.address, node.name)}:{values.text(each.number, node.name)}:{_number(node, each.port)}"
        for each in node.container.publish
    ]


def _labels(settings: Settings, node: Node, values: ComposeValues) -> dict[str, str]:
    if not (isinstance(node, Service) and node.container.route):
        return {}
    found = labels(settings, node.name, node.container.route, node.ports[0].number)
    return {name: values.text(value, node.name) for name, value in found.items()}


def _healthcheck(node: Service, probe: Probe, values: ComposeValues) -> Document:
    return {
        "test": ["CMD", *_check(node, probe, values)],
        "interval": _seconds(probe.interval),
        "timeout": _seconds(probe.timeout),
        "retries": probe.failures,
        "start_period": _seconds(probe.start_timeout),
        "start_interval": _seconds(max(probe.start_interval, _START_INTERVAL)),
    }


def _check(node: Service, probe: Probe, values: ComposeValues) -> list[str]:
    if isinstance(probe.check, ExecProbe):
        return [values.text(part, node.name) for part in probe.check.command]
    if node.container.image:
        raise HomeportError(
            code="RENDER_PROBE",
            what=f'"{node.name}" is asked over the network, and its image has no program of ours for that',
            evidence=(("image", node.container.image),),
            why="Compose asks from inside the container, with what the image has",
            fix="give it an ExecProbe with a program of that image",
            exit_code=ExitCode.USAGE,
        )
    number = _number(node, probe.check.port)
    url = (
        f"http://127.0.0.1:{number}{probe.check.path}"
        if isinstance(probe.check, HttpProbe)
        else f"tcp://127.0.0.1:{number}"
    )
    return ["python", "-m", "homeport.probe", literal(url)]


def _joined(settings: Settings, node: Node) -> Iterable[str]:
    """A site's own gateway reaches what is routed on the network `edge`, which is then the site's."""
    if settings.gateway == "external" and node.container.route:
        return ("edge", *node.container.networks)
    return node.container.networks


def _networks(settings: Settings, graph: Graph, values: ComposeValues) -> Document:
    found: Document = {}
    for name in sorted(
        {name for node in graph for name in _joined(settings, node)}, key=["edge", "backend", "data"].index
    ):
        found[name] = {"internal": True} if _inside(settings, name) else None
    if settings.gateway == "external":
        network = values.setting(settings.value("gateway_network"))
        found["edge"] = {"external": True, "name": network}
    return found


def _inside(settings: Settings, network: str) -> bool:
    """Whether nothing on the network reaches the outside. The stores' network does where a store is outside."""
    elsewhere = bool(settings.backend_store_uri or settings.s3_endpoint_url or settings.artifacts_destination)
    return network == "backend" or (network == "data" and not elsewhere)


def _volumes(node: Node, values: ComposeValues) -> Iterable[str | Document]:
    for volume in node.volumes:
        yield f"{volume.name}:{volume.mount}"
    for file in node.container.files:
        # The long form: the short one makes an empty directory where the file is missing.
        source = {"type": "bind", "source": f"./{file.source}", "target": file.mount, "read_only": True}
        yield source | {"bind": Flow({"create_host_path": False})}
    for value in node.container.binds:
        path = values.text(value, node.name)
        yield {"type": "bind", "source": path, "target": path, "bind": Flow({"create_host_path": False})}


def _secrets(graph: Graph) -> set[str]:
    return {name for node in graph for name in secrets_of(node)}


def _number(node: Node, name: str) -> int:
    ports = node.ports if isinstance(node, Service) else ()
    return next(port.number for port in ports if port.name == name)


def _seconds(value: float) -> str:
    return f"{value:g}s"
