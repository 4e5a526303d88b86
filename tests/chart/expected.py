"""What the graph's values are in the chart: the third resolver beside plain processes and Compose, kept in the tests.

The chart is written by hand, so nothing renders it from the graph; this says what it has to come to. Knows the names of
Services and where secrets are mounted, and nothing of the templates.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from homeport.model.graph import Graph, Node
from homeport.model.values import (
    Bind,
    Part,
    Path,
    Ref,
    Secret,
    SecretFile,
    Setting,
    Template,
    Value,
    leaves,
    resolve,
)

SECRETS = "/etc/homeport/secrets"
EVERYWHERE = "0.0.0.0"


class ChartValues:
    """Answers what the values of one graph are in a pod; a `homeport.model.values.Resolver`.

    Args:
        graph: whose services and ports are referred to.
        fullname: what the names of the chart's objects begin with.
        environ: what the site sets; it wins over what the graph chose, as a variable does in Compose.
    """

    def __init__(self, graph: Graph, fullname: str, environ: Mapping[str, str]) -> None:
        self.graph = graph
        self.fullname = fullname
        self.environ = environ

    def text(self, value: Value, holder: str) -> str:
        """The value as a container is given it; a secret inside a text is its place."""
        if isinstance(value, Template):
            # Encoding is done where the secret is filled in, at the container's start.
            return value.text.format_map({name: self.text(part, holder) for name, part in value.parts})
        return resolve(value, holder, self)

    def environment(self, node: Node) -> dict[str, str]:
        """The variables of a container; X_FILE and X_TEMPLATE where a secret is in it."""
        return dict(self._variable(node, name, value) for name, value in node.env.items())

    def command(self, node: Node) -> tuple[str, ...]:
        """What the container runs."""
        return tuple(self.text(part, node.name) for part in node.command)

    def secrets(self, node: Node) -> set[str]:
        """The files that have to be mounted."""
        inside = [leaf for value in node.env.values() for leaf in leaves(value)]
        named = {leaf.name for leaf in inside if isinstance(leaf, Secret)}
        return named | {leaf.secret.name for leaf in inside if isinstance(leaf, SecretFile)}

    def _variable(self, node: Node, name: str, value: Value) -> tuple[str, str]:
        text = self.text(value, node.name)
        if isinstance(value, Secret):
            return f"{name}_FILE", self.secret_file(value)
        inside = any(isinstance(leaf, Secret) for leaf in leaves(value))
        return (f"{name}_TEMPLATE" if inside else name), text

    def ref(self, holder: str, value: Ref) -> str:
        """The Service of another part."""
        del holder
        return _part(
            f"{self.fullname}-{value.service}", self.graph.ports()[value.service, value.port].number, value.part
        )

    def bind(self, holder: str, value: Bind) -> str:
        """Every address of the pod."""
        return _part(EVERYWHERE, self.graph.ports()[holder, value.port].number, value.part)

    def secret(self, value: Secret) -> str:
        """The place that the image's entry point fills."""
        return f"{{{value.name}}}"

    def secret_file(self, value: Secret) -> str:
        """Where the secret is mounted."""
        return f"{SECRETS}/{value.name}"

    def setting(self, value: Setting) -> str:
        """What it is set to."""
        return self.environ.get(value.env, value.text)

    def path(self, holder: str, value: Path) -> str:
        """The path below the volume's mount."""
        mount = next(volume.mount for volume in self.graph[holder].volumes if volume.name == value.volume)
        return posixpath.join(mount, value.below) if value.below else mount


def same(first: str, second: str) -> bool:
    """Whether two texts say the same: the template engine writes 1.0 as 1."""
    try:
        return first == second or float(first) == float(second)
    except ValueError:
        return False


def bytes_of(text: str) -> int:
    """A size as Docker or Kubernetes writes it."""
    units: Mapping[str, int] = {"Gi": 2**30, "Mi": 2**20, "g": 2**30, "m": 2**20}
    unit = next(unit for unit in units if text.endswith(unit))
    return int(text.removesuffix(unit)) * units[unit]


def _part(host: str, port: int, part: Part) -> str:
    return {Part.ADDRESS: f"{host}:{port}", Part.HOST: host, Part.PORT: str(port)}[part]
