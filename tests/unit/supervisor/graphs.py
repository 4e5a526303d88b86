"""Small real graphs, and the program that keeps one: `python -m tests.unit.supervisor.graphs HOME NAME`.

The programs are shells and bare Pythons, so that a start takes tens of milliseconds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path as FilePath
from typing import Any

from homeport.model.graph import Graph
from homeport.model.service import COMPLETED, HEALTHY, Condition, ExecProbe, Job, Port, Probe, Service, TcpProbe, Volume
from homeport.model.values import Bind, Part, Path
from homeport.supervisor import detach
from homeport.supervisor.daemon import Daemon
from homeport.supervisor.layout import Home
from homeport.supervisor.local import LocalTarget

FOREVER = "exec sleep 1000"
_LISTEN = "import socket,sys,time;s=socket.create_server(('127.0.0.1',int(sys.argv[1])));time.sleep(1000)"
_VOLUME = Volume("flags", "/flags")


def shell(name: str, script: str, needs: Mapping[str, Condition] | None = None, **more: Any) -> Service:
    """A service that is a shell script and healthy once it has made the file $UP."""
    probe = Probe(ExecProbe(("test", "-e", Path("flags", name))), start_interval=0.02, start_timeout=10.0)
    values: dict[str, Any] = {"title": name, "probe": probe, "volumes": (_VOLUME,), "stop_timeout": 5.0, **more}
    command = ("sh", "-c", f'rm -f "$UP"; : > "$UP"; {script}')
    return Service(name=name, command=command, env={"UP": Path("flags", name)}, needs=needs or {}, **values)


def listener(name: str, needs: Mapping[str, Condition] | None = None, local: int | None = None) -> Service:
    """A service that accepts connections."""
    return Service(
        name=name,
        title=name,
        command=(sys.executable, "-I", "-S", "-c", _LISTEN, Bind(part=Part.PORT)),
        ports=(Port("main", 1000, local=local, setting=f"HOMEPORT_{name.upper()}_PORT"),),
        probe=Probe(TcpProbe(), start_interval=0.02),
        needs=needs or {},
    )


def script(name: str, text: str, needs: Mapping[str, Condition] | None = None, owner: str = "") -> Job:
    """A job that is a shell script."""
    return Job(name=name, title=name, command=("sh", "-c", text), owner=owner or name, needs=needs or {})


def platform() -> Graph:
    """As the real one: two at once, two jobs, one that needs them all, and its family."""
    return Graph(
        "platform",
        [
            listener("database"),
            shell("objectstore", f"sleep 1000 & sleep 1000 & {FOREVER}"),
            script("migrate", "echo at head", {"database": HEALTHY}, "tracking"),
            script("bucket", "echo bucket", {"objectstore": HEALTHY}, "tracking"),
            shell("tracking", f"(sleep 1000 & sleep 1000) & {FOREVER}", {"migrate": COMPLETED, "bucket": COMPLETED}),
            shell("escaped", f"setsid sleep 1000 & {FOREVER}", {"database": HEALTHY}),
        ],
    )


def deaf() -> Graph:
    """Ignores SIGTERM, and so do its grandchildren."""
    child = "sh -c 'trap \"\" TERM; while :; do sleep 1000; done'"
    return Graph("deaf", [shell("deaf", f"trap '' TERM; {child} & {child} & wait; wait", stop_timeout=0.3)])


def failing() -> Graph:
    """A job fails after everything else has come up."""
    text = "echo first; echo no such table >&2; exit 3"
    return Graph(
        "failing",
        [
            shell("database", FOREVER),
            shell("other", FOREVER),
            script("migrate", text, {"database": HEALTHY, "other": HEALTHY}, "tracking"),
            shell("tracking", FOREVER, {"migrate": COMPLETED}),
        ],
    )


def explaining() -> Graph:
    """Leaves its reason."""
    text = """echo '{"code": "SCHEMA_NEWER", "what": "too new", "fix": "upgrade"}' > "$HOMEPORT_REASON_FILE"; exit 1"""
    return Graph("explaining", [shell("a", FOREVER), script("check", text, {"a": HEALTHY}, "a")])


def crashing() -> Graph:
    """Dies when it is told to by a file, and comes back."""
    return Graph("crashing", [shell("a", FOREVER)])


def slow() -> Graph:
    """Is never ready by itself."""
    probe = Probe(ExecProbe(("false",)), start_interval=0.05, start_timeout=60.0)
    return Graph("slow", [shell("a", FOREVER), shell("b", FOREVER, {"a": HEALTHY}, probe=probe)])


def alone() -> Graph:
    """One service."""
    return Graph("alone", [shell("a", FOREVER)])


def scrubbed() -> Graph:
    """Leaves a grandchild in a session of its own with an empty environment: only its parent tells whose it is."""
    escape = "env -i setsid sh -c 'echo $$ > scrubbed.pid; exec sleep 1000' &"
    return Graph("scrubbed", [shell("a", f"{escape} {FOREVER}")])


def orphans() -> Graph:
    """Leaves a grandchild that ends after its parent."""
    orphan = "(sh -c 'echo $$ > orphan.pid; exec sleep 0.05' &)"
    return Graph("orphans", [shell("a", f"{orphan}; {FOREVER}")])


def missing() -> Graph:
    """A program that is not there."""
    return Graph("missing", [Service(name="a", title="a", command=("no-such-program",))])


def taken() -> Graph:
    """Wants the port in the file `port` beside the home."""
    return Graph("taken", [listener("tracking", local=int(FilePath(sys.argv[1], "../port").read_text()))])


_GRAPHS: dict[str, Callable[[], Graph]] = {
    graph.__name__: graph
    for graph in (platform, deaf, failing, explaining, crashing, slow, alone, orphans, scrubbed, missing, taken)
}


def argv(home: Home, name: str) -> tuple[str, ...]:
    """The command that keeps a graph."""
    return sys.executable, "-m", __name__, str(home.root), name


def main() -> int:
    """Keep the graph named in the command line."""
    home = Home(FilePath(sys.argv[1]))
    graph = _GRAPHS[sys.argv[2]]()
    return Daemon(graph, LocalTarget(graph, home), home).serve(**vars(detach.inherited()))


if __name__ == "__main__":
    sys.exit(main())
