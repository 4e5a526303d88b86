"""What a chart's values are made of: single values, and groups of them. Refuses to know which there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from homeport.accepts import Accepts
from homeport.knobs import Knob
from homeport.settings import knobs

Schema = Mapping[str, Any]
Keys = tuple[str, ...]
Members = tuple["Value | Group", ...]

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}


@dataclass(frozen=True)
class Value:
    """One value.

    Args:
        name: its key.
        default: what values.yaml says.
        schema: what it may be, in JSON Schema's words; `title` names a type of Kubernetes.
        help: what it does.
        said: the help stands above it in values.yaml, not on the reference page alone.
        setting: the setting of Homeport that it is, an attribute of Settings.
        env: that setting's environment variable.
    """

    name: str
    default: Any
    schema: Schema
    help: str
    said: bool = False
    setting: str = ""
    env: str = ""


@dataclass(frozen=True)
class Group:
    """Values under one key.

    Args:
        name: the key.
        members: what is under it, in the order of values.yaml.
        help: what they are about, where their names do not say it.
    """

    name: str
    members: Members
    help: str = ""


def said(name: str, default: Any, schema: Schema, help: str) -> Value:  # noqa: ANN401 - any default
    """A value whose help stands in values.yaml too."""
    return Value(name, default, schema, help, said=True)


_KNOBS: Mapping[str, Knob] = {item.name: item for item in knobs()}
_DEFAULT = object()


def setting(
    name: str,
    attribute: str,
    help: str = "",
    *,
    default: Any = _DEFAULT,  # noqa: ANN401 - any default
    said: bool = False,
    **narrower: Any,  # noqa: ANN401 - fields of Accepts
) -> Value:
    """A value that is a setting of Homeport: what it may be, its default and its help are the setting's.

    Args:
        name: its key.
        attribute: the setting's name in Settings.
        help: where the chart has something else to say than the setting.
        default: where the chart has another than the setting.
        said: the help stands in values.yaml.
        narrower: fields of Accepts that the chart holds closer.
    """
    knob = _KNOBS[attribute]
    chosen = knob.default if default is _DEFAULT else default
    schema = described(replace(knob.accepts, **narrower), empty=chosen == "")
    return Value(name, chosen, schema, help or knob.help, said=said, setting=attribute, env=knob.env)


def described(accepts: Accepts, *, empty: bool = False) -> Schema:
    """What a setting's parser accepts, in JSON Schema's words.

    Args:
        accepts: what the parser says.
        empty: the empty text is taken too: it stands for nothing.
    """
    if accepts.kind is bool:
        return FLAG
    if accepts.kind in (int, float):
        ends = {"minimum": accepts.least, "maximum": accepts.most}
        kind = "integer" if accepts.kind is int else "number"
        return {"type": kind, **{name: end for name, end in ends.items() if end is not None}}
    if accepts.words:
        return {"type": "string", "enum": list(accepts.words)}
    pattern = accepts.pattern
    if accepts.schemes:
        pattern = rf"({'|'.join(name for name in accepts.schemes if name)})(\+[a-z0-9]+)?://.+"
    if not pattern:
        return TEXT
    lengths = {} if empty or accepts.least is None else {"minLength": accepts.least}
    if accepts.most is not None:
        lengths["maxLength"] = accepts.most
    return {"type": "string", **lengths, "pattern": f"^({pattern})?$" if empty else f"^({pattern})$"}


def walk(members: Members, above: Keys = ()) -> Iterator[tuple[Keys, Value]]:
    """Every value with its path, in the order of values.yaml."""
    for member in members:
        path = (*above, member.name)
        if isinstance(member, Group):
            yield from walk(member.members, path)
        else:
            yield path, member
