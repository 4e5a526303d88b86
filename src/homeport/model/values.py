"""Values that differ per target: an address, a secret, a path. Inert until a target resolves them, last of all.

A value formatted too early works on one target only. So a service says `Ref("database")` and embedded answers
`127.0.0.1:40123`, Compose `database:5432` and Helm the Service's name. This module refuses to know any of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class Part(StrEnum):
    """Which part of an address is meant."""

    ADDRESS = "address"  # host:port
    HOST = "host"
    PORT = "port"


@dataclass(frozen=True)
class Ref:
    """Where another service's port is reached from the service that holds this value."""

    service: str
    port: str = "main"
    part: Part = Part.ADDRESS


@dataclass(frozen=True)
class Bind:
    """Where the service that holds this value listens itself."""

    port: str = "main"
    part: Part = Part.ADDRESS


class SecretKind(StrEnum):
    """How a secret is made when nobody set it."""

    PASSWORD = "password"  # noqa: S105 - the name of a kind, not a password
    ACCESS_KEY = "access-key"
    FERNET = "fernet"


@dataclass(frozen=True)
class Secret:
    """A secret by name; its repr never shows more. `given` is the user's value; None: the target makes one."""

    name: str
    kind: SecretKind = SecretKind.PASSWORD
    given: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class SecretFile:
    """The path of a file (mode 0600) that holds the secret, for programs that take `X_FILE`."""

    secret: Secret


@dataclass(frozen=True)
class Setting:
    """A setting by the variable it is read from, for targets whose user may still change it (`${NAME:-default}`).

    Args:
        env: the environment variable.
        text: its value now, as an environment variable has it.
        default: what holds when the variable is not set.
    """

    env: str
    text: str
    default: str = ""


@dataclass(frozen=True)
class Path:
    """A path inside one of the platform's volumes."""

    volume: str
    below: str = ""


@dataclass(frozen=True, init=False)
class Template:
    """Text with `{named}` places, each filled by a value when the target resolves it.

    With `quote=True` every filled value is percent-encoded, as inside a URI.
    """

    text: str
    parts: tuple[tuple[str, Value], ...]
    quote: bool

    def __init__(self, text: str, /, *, quote: bool = False, **parts: Value) -> None:
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "parts", tuple(sorted(parts.items())))
        object.__setattr__(self, "quote", quote)


Value = str | Ref | Bind | Secret | SecretFile | Setting | Path | Template


class Resolver(Protocol):
    """What a target must answer so that a service's values become text. `holder` is the service that asks."""

    def ref(self, holder: str, value: Ref) -> str:
        """Where another service's port is reached."""

    def bind(self, holder: str, value: Bind) -> str:
        """Where the holder listens."""

    def secret(self, value: Secret) -> str:
        """The secret itself."""

    def secret_file(self, value: Secret) -> str:
        """The path of a file that holds it."""

    def setting(self, value: Setting) -> str:
        """A setting's value, or where the target's user sets it."""

    def path(self, holder: str, value: Path) -> str:
        """A path inside a volume, as the holder sees it."""


def resolve(value: Value, holder: str, target: Resolver) -> str:
    """The text of a value on one target."""
    match value:
        case str():
            return value
        case Ref():
            return target.ref(holder, value)
        case Bind():
            return target.bind(holder, value)
        case Secret():
            return target.secret(value)
        case SecretFile():
            return target.secret_file(value.secret)
        case Setting():
            return target.setting(value)
        case Path():
            return target.path(holder, value)
        case Template():
            return _fill(value, holder, target)


def _fill(template: Template, holder: str, target: Resolver) -> str:
    from urllib.parse import quote

    filled = {name: resolve(part, holder, target) for name, part in template.parts}
    if template.quote:
        # An address keeps its colon; everything else that could end the user-info part of a URI is encoded.
        safe = {name: "[]:" if isinstance(part, Ref | Bind) else "" for name, part in template.parts}
        filled = {name: quote(text, safe=safe[name]) for name, text in filled.items()}
    return template.text.format_map(filled)


def leaves(value: Value) -> Iterator[Value]:
    """Every value inside a value, templates opened."""
    if isinstance(value, Template):
        for _, part in value.parts:
            yield from leaves(part)
    elif isinstance(value, SecretFile):
        yield value
    else:
        yield value


def secrets_in(values: Mapping[str, Value]) -> Iterator[Secret]:
    """Every secret that the values need, whether as text or as a file."""
    for value in values.values():
        for leaf in leaves(value):
            if isinstance(leaf, Secret):
                yield leaf
            elif isinstance(leaf, SecretFile):
                yield leaf.secret
