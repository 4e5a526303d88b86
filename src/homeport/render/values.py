"""The Compose target: what a service's values are in a Compose file, and which variables carry them.

Settings stay open (`${NAME:-default}`), secrets are named and never shown, addresses are service names.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Mapping
from string import Formatter

from homeport.errors import ExitCode, HomeportError
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

SECRETS = "/run/secrets"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - inside a container; what reaches it is a matter of its networks


class ComposeValues:
    """Answers what the values of one graph are in a Compose file; a `homeport.model.values.Resolver`.

    Args:
        graph: whose services and ports are referred to.
        required: settings without a default, which stand as `${NAME-}`; that they are set is checked at one place.
        defaults: settings whose default this file changes.
    """

    def __init__(self, graph: Graph, required: Collection[str] = (), defaults: Mapping[str, str] | None = None) -> None:
        self.graph = graph
        self.required = required
        self.defaults = defaults or {}

    def text(self, value: Value, holder: str) -> str:
        """The value as it stands in the file, with what is literal protected from Compose's interpolation."""
        if isinstance(value, str):
            return literal(value)
        if isinstance(value, Template):
            parts = {name: self.text(part, holder) for name, part in value.parts}
            return "".join(
                literal(text) + (parts[place] if place else "") for text, place, *_ in Formatter().parse(value.text)
            )
        return resolve(value, holder, self)

    def ref(self, holder: str, value: Ref) -> str:
        """Another service's name and the port in its container."""
        del holder
        number = self.graph.ports()[value.service, value.port].number
        return _part(value.service, number, value.part)

    def bind(self, holder: str, value: Bind) -> str:
        """Every address of the container."""
        return _part(EVERYWHERE, self.graph.ports()[holder, value.port].number, value.part)

    def secret(self, value: Secret) -> str:
        """The place that our image's entry point fills."""
        return f"{{{value.name}}}"

    def secret_file(self, value: Secret) -> str:
        """Where the secret is mounted."""
        return f"{SECRETS}/{value.name}"

    def setting(self, value: Setting) -> str:
        """The variable, with what holds where it is not set."""
        if value.env in self.required:
            # Compose stops at x-required; a plain ${NAME} would warn at each place before that.
            return f"${{{value.env}-}}"
        return f"${{{value.env}:-{literal(self.defaults.get(value.env, value.default))}}}"

    def path(self, holder: str, value: Path) -> str:
        """The path below the volume's mount."""
        mount = next(volume.mount for volume in self.graph[holder].volumes if volume.name == value.volume)
        return posixpath.join(mount, value.below) if value.below else mount

    def environment(self, node: Node) -> dict[str, str]:
        """The variables of a service: a secret never stands in one, only the name of the file that holds it.

        Raises:
            HomeportError: RENDER_SECRET when a program of others would need our entry point to read a secret.
        """
        return dict(self._variable(node, name, value) for name, value in node.env.items())

    def _variable(self, node: Node, name: str, value: Value) -> tuple[str, str]:
        if isinstance(value, Secret):
            _ours(node, name, value)
            return f"{name}_FILE", self.secret_file(value)
        text = self.text(value, node.name)
        inside = [leaf for leaf in leaves(value) if isinstance(leaf, Secret)]
        if not inside:
            return name, text
        _ours(node, name, inside[0])
        if not (isinstance(value, Template) and value.quote):
            raise _refused(node, name, inside[0], "the entry point percent-encodes what it fills in: quote=True")
        return f"{name}_TEMPLATE", text


def literal(text: str) -> str:
    """Text that Compose leaves as it is."""
    return text.replace("$", "$$")


def secrets_of(node: Node) -> tuple[str, ...]:
    """Names of the secrets that a service needs, each once."""
    found: dict[str, None] = {}
    for value in node.env.values():
        for leaf in leaves(value):
            if isinstance(leaf, Secret):
                found[leaf.name] = None
            elif isinstance(leaf, SecretFile):
                found[leaf.secret.name] = None
    return tuple(found)


def _part(host: str, port: int, part: Part) -> str:
    return {Part.ADDRESS: f"{host}:{port}", Part.HOST: host, Part.PORT: str(port)}[part]


def _ours(node: Node, name: str, secret: Secret) -> None:
    if node.container.image:
        raise _refused(node, name, secret, "that image has no entry point of ours, which reads secret files")


def _refused(node: Node, name: str, secret: Secret, why: str) -> HomeportError:
    return HomeportError(
        code="RENDER_SECRET",
        what=f'{name} of "{node.name}" would hold the secret "{secret.name}" in the Compose file',
        evidence=(("image", node.container.image or "our own"),),
        why=why,
        fix=f"give it as a SecretFile, in a variable that the program reads a file from: {name}_FILE",
        exit_code=ExitCode.USAGE,
    )
