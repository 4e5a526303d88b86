"""What is said when a start in containers fails: which service, its last probe, its last lines, why, and the fix."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from homeport.compose.containers import Container, state
from homeport.errors import HomeportError
from homeport.model.graph import Graph, Node
from homeport.model.service import Job

_LINES, _WIDTH = 5, 300
_ROW = re.compile(r"  (\S(?:.{0,10}\S)?) {2,}(\S.*)$")
_CODE = re.compile(r"  code {9}([A-Z][A-Z0-9_]+)\b")
_PORT = re.compile(r"(?:bind(?: host port)?(?: for)? |listen tcp\S* )[^\s]*?:(\d+)")
Lines = Callable[[Container], Sequence[str]]


def explain(graph: Graph, found: dict[str, Container], lines: Lines, said: str, crashed: str = "") -> HomeportError:
    """The error of a failed start.

    Args:
        graph: the platform's.
        found: service -> container, as they are now.
        lines: the last log lines of a container.
        said: what Compose printed.
        crashed: a service that ended again and again.
    """
    culprit = crashed or _culprit(graph, found)
    if not culprit:
        return _by_compose(said)
    node, container = graph[culprit], found[culprit]
    last = [line for line in lines(container) if line.strip()]
    own = explained(last)
    if own is not None:
        return replace(own, log=own.log or f"homeport logs {culprit}")
    return _described(node, container, last, again=bool(crashed))


def _culprit(graph: Graph, found: dict[str, Container]) -> str:
    """The first in the order of the start that is worse than waiting; others wait because of it."""
    bad = {name: state(graph[name], found[name]) for name in graph.start_order if name in found}
    for wanted in (("failed",), ("backoff", "unhealthy"), ("stopped",), ("running",)):
        for name, now in bad.items():
            trouble = found[name].restarts or found[name].probe or now != "running"
            if now in wanted and trouble:
                return name
    return ""


def _described(node: Node, container: Container, last: Sequence[str], *, again: bool) -> HomeportError:
    name = node.name.upper().replace("-", "_")
    why, ended = "", f"exit {container.exit_code}"
    if container.out_of_memory:
        why, ended = "it needs more memory than its limit in compose.yaml", "killed: out of memory"
    if container.trouble:
        issue, what = "NOT_STARTED", f"{node.name} could not be started"
    elif isinstance(node, Job):
        issue, what = "EXITED", f"{node.name} failed ({ended})"
    elif again or container.restarts:
        issue, what = "EXITED", f"{node.name} ends again and again ({ended})"
    elif container.status == "exited":
        issue, what = "EXITED", f"{node.name} exited ({ended})"
    else:
        issue, what = "UNHEALTHY", f"{node.name} did not become healthy"
    said = "\n".join(line[:_WIDTH] for line in last[-_LINES:])
    probe = container.probe[-_WIDTH:]
    evidence = (("engine", container.trouble), ("last probe", probe), ("last log", said))
    return HomeportError(
        code=f"{name}_{issue}",
        what=what,
        evidence=tuple(row for row in evidence if row[1]),
        why=why,
        fix=f"homeport logs {node.name} shows all it said",
    )


def explained(lines: Sequence[str]) -> HomeportError | None:
    """The last error block of one of our own programs in its log, as the error it was; None when there is none."""
    codes = [number for number, line in enumerate(lines) if _CODE.match(line)]
    if not codes:
        return None
    end = codes[-1]
    rows: list[tuple[str, str]] = []
    begin = end - 1
    while begin >= 0 and lines[begin].startswith("  "):
        begin -= 1
    for line in lines[begin + 1 : end]:
        found = _ROW.match(line)
        if found and not line.startswith("   "):
            rows.append((found[1], found[2]))
        elif rows:
            rows[-1] = (rows[-1][0], f"{rows[-1][1]}\n{line.strip()}")
    what = lines[begin].strip() if begin >= 0 else ""
    code = _CODE.match(lines[end])
    if not what or code is None:
        return None
    named = dict(rows)
    evidence = tuple(row for row in rows if row[0] not in {"why", "fix"})
    return HomeportError(code[1], what, why=named.get("why", ""), fix=named.get("fix", ""), evidence=evidence)


def _by_compose(said: str) -> HomeportError:
    """No container is to blame: Compose or the engine refused."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = lines[-1] if lines else "it said nothing"
    lowered = said.lower()
    port = _PORT.search(said)
    if "address already in use" in lowered or "port is already allocated" in lowered:
        return port_taken(int(port[1]) if port else 0, last)
    if "permission denied" in lowered and port:
        return port_denied(int(port[1]), last)
    if "pull access denied" in lowered or "manifest unknown" in lowered or "not found: manifest" in lowered:
        return HomeportError(
            code="IMAGE_NOT_FOUND",
            what="an image cannot be pulled",
            evidence=(("docker", last),),
            why="it is not on this machine, and the registry does not have it, or not for everybody",
            fix="check its name; build ours in a clone: homeport up --target compose --build; or set HOMEPORT_IMAGE",
        )
    return HomeportError(
        code="COMPOSE_FAILED",
        what="Docker Compose could not start the platform",
        evidence=(("compose", "\n".join(line[:_WIDTH] for line in lines[-_LINES:])),),
        fix="mend what it names; homeport doctor --target compose looks at this machine",
    )


def setting_of(port: int, http: int) -> str:
    """The setting that chooses this published port."""
    return "HOMEPORT_HTTP_PORT" if port == http else "HOMEPORT_HTTPS_PORT"


def port_taken(port: int, said: str, setting: str = "HOMEPORT_HTTP_PORT or HOMEPORT_HTTPS_PORT") -> HomeportError:
    """Somebody else listens on a port that the gateway publishes."""
    return HomeportError(
        code="PORT_TAKEN",
        what=f"the gateway cannot listen on port {port}" if port else "the gateway cannot listen on its port",
        evidence=(("error", said),),
        why="another program listens there",
        fix=f"stop that program, or choose another port: {setting}",
    )


def port_denied(port: int, said: str, setting: str = "HOMEPORT_HTTP_PORT or HOMEPORT_HTTPS_PORT") -> HomeportError:
    """The engine may not open that port: a rootless one below 1024."""
    return HomeportError(
        code="PORT_DENIED",
        what=f"the engine may not open port {port}",
        evidence=(("error", said),),
        why="ports below 1024 need privileges, which a rootless engine does not have",
        fix=f"choose ports above 1024 ({setting}), or: sudo sysctl net.ipv4.ip_unprivileged_port_start=80",
    )


def bad_compose(said: str) -> HomeportError:
    """Compose does not accept the files or the variables; its last line names what."""
    lines = [line.strip() for line in said.splitlines() if line.strip() and "level=warning" not in line]
    missing = re.search(r"required variable (\S+) is missing a value(?:: (.*))?", said)
    if missing:
        return HomeportError(
            code="SETTING_MISSING",
            what=f"{missing[1]} is not set",
            evidence=(("compose", lines[-1] if lines else said.strip()),),
            why=(missing[2] or "compose.yaml needs it").strip(),
            fix=f"set {missing[1]} in .env",
        )
    return HomeportError(
        code="COMPOSE_INVALID",
        what="Docker Compose does not accept this directory's files",
        evidence=(("compose", "\n".join(lines[-3:])),),
        fix="mend what it names, then: docker compose config --quiet",
    )
