"""Compose documents as text that reads as if written by hand: comments, blank lines, shared parts as anchors.

How a scalar is quoted is left to PyYAML; where lines break and what is left out is decided here.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

_WIDTH = 116
_INDENT = "  "
_NUMBER = re.compile(r"[-+]?((\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?|0[xX][\da-fA-F]+|0[oO]?[0-7]+|0[bB][01]+)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d?-\d\d?", re.ASCII)


class Flow(dict[str, Any]):
    """A mapping that is written on one line."""


@dataclass(frozen=True)
class Tagged:
    """A value that replaces or removes what an earlier file says (Compose: `!override`, `!reset`)."""

    tag: str
    value: Any


@dataclass(frozen=True)
class Anchor:
    """A mapping that others begin with; `parents` are anchors it begins with itself."""

    name: str
    content: Mapping[str, Any]
    parents: tuple[str, ...] = ()


@dataclass(frozen=True)
class With:
    """A mapping that is written as anchors and what it has besides. It must have every key of theirs."""

    anchors: tuple[Anchor, ...]
    content: Mapping[str, Any]


def scalar(value: object, *, flow: bool = False) -> str:
    """A scalar as YAML, quoted where it must be."""
    if value is None:
        return ""
    style = '"' if _breaks(value) else "'" if _is_number_elsewhere(value) else None
    if flow or style:
        return _dumped([value], flow=True, style=style)[1:-1]
    return _dumped({"k": value}, flow=False).removeprefix("k: ")


def inline(value: object) -> str:
    """Any value on one line."""
    if isinstance(value, Tagged):
        return f"!{value.tag} {inline(value.value)}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(k, flow=True)}: {inline(v)}" for k, v in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(inline(item) for item in value) + "]"
    return "null" if value is None else scalar(value, flow=True)


def block(content: Mapping[str, Any], depth: int = 0) -> list[str]:
    """A mapping as lines, one key each; short lists and `Flow` mappings stand beside their key."""
    lines: list[str] = []
    for key, value in content.items():
        lines += _entry(f"{_INDENT * depth}{scalar(key)}:", value, depth)
    return lines


def _entry(head: str, value: object, depth: int) -> list[str]:
    tag = ""
    if isinstance(value, Tagged):
        tag, value = f" !{value.tag}", value.value
        if value is None or not value:
            return [f"{head}{tag} {inline(value)}"]
    head += tag
    if isinstance(value, With):
        return [head, *merged(value, depth + 1)]
    if isinstance(value, Mapping):
        if not value or isinstance(value, Flow):
            return [f"{head} {inline(value)}"]
        return [head, *block(value, depth + 1)]
    if isinstance(value, Sequence) and not isinstance(value, str):
        short = f"{head} {inline(value)}"
        if len(short) <= _WIDTH and not any(isinstance(item, Mapping) for item in value):
            return [short]
        return [head, *(line for item in value for line in _item(item, depth + 1))]
    return [f"{head} {scalar(value)}".rstrip() if value is None else f"{head} {scalar(value)}"]


def _item(value: object, depth: int) -> list[str]:
    dash = f"{_INDENT * depth}- "
    if isinstance(value, str):
        if len(value) > _WIDTH and _folds(value):
            return [f"{dash}>-", *_folded(value, _INDENT * (depth + 1))]
        return [dash + scalar(value)]
    if not isinstance(value, Mapping) or isinstance(value, Flow) or not value:
        return [dash + inline(value)]
    first, *rest = block(value, depth + 1)
    return [dash + first.removeprefix(_INDENT * (depth + 1)), *rest]


def anchored(anchor: Anchor) -> list[str]:
    """`x-NAME: &NAME` with its content."""
    return [f"x-{anchor.name}: &{anchor.name}", *_parents(anchor.parents, 1), *block(anchor.content, 1)]


def merged(value: With, depth: int) -> list[str]:
    """A mapping that begins with anchors, less what they say already."""
    shared: dict[str, Any] = {}
    for anchor in value.anchors:
        shared |= anchor.content
    # Else the anchor would give it a key it does not have.
    assert shared.keys() <= value.content.keys(), shared.keys() - value.content.keys()
    own = {key: item for key, item in value.content.items() if key not in shared or shared[key] != item}
    # An anchor includes what it begins with itself.
    below = {parent for anchor in value.anchors for parent in anchor.parents}
    return [*_parents(tuple(a.name for a in value.anchors if a.name not in below), depth), *block(own, depth)]


def _parents(names: Sequence[str], depth: int) -> list[str]:
    if not names:
        return []
    named = f"*{names[0]}" if len(names) == 1 else "[" + ", ".join(f"*{name}" for name in names) + "]"
    return [f"{_INDENT * depth}<<: {named}"]


def _folds(value: str) -> bool:
    """Whether text comes back as it was when its lines are folded: single blanks between printable words."""
    return value.isprintable() and " ".join(value.split()) == value and not value.startswith("#")


def _folded(value: str, indent: str) -> list[str]:
    return textwrap.wrap(
        value, _WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _breaks(value: object) -> bool:
    """Whether text would be folded over several lines."""
    return isinstance(value, str) and len(value.splitlines()) > 1


def _is_number_elsewhere(value: object) -> bool:
    """Whether Compose's YAML (1.2, in Go) reads text as a number or a date that PyYAML's (1.1) does not."""
    return isinstance(value, str) and bool(_NUMBER.fullmatch(value.replace("_", "")) or _DATE.match(value))


def _dumped(value: object, *, flow: bool, style: str | None = None) -> str:
    text: str = yaml.safe_dump(
        value, default_flow_style=flow, default_style=style, width=1_000_000, allow_unicode=True, sort_keys=False
    )
    return text.rstrip("\n").removesuffix("\n...")
