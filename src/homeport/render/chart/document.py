"""values.yaml as text that reads as if written by hand: a comment above what needs one, small objects on one line."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence

from homeport.render.chart.tree import HEAD, TREE
from homeport.render.chart.value import Group, Value
from homeport.render.text import scalar

WIDTH = 120
_INDENT = "  "


def values_yaml() -> str:
    """The text of charts/homeport/values.yaml."""
    lines = [line for paragraph in HEAD for line in _comment(paragraph, "")]
    before: Value | Group | None = None
    for member in TREE:
        if not (_bare(before) and _bare(member)):
            lines.append("")
        lines += _member(member, 0)
        before = member
    return "\n".join(lines) + "\n"


def _bare(member: Value | Group | None) -> bool:
    """Whether it is a line of its own that needs no air around it."""
    return isinstance(member, Value) and not member.said


def _member(member: Value | Group, depth: int) -> list[str]:
    indent = _INDENT * depth
    comment = member.help if isinstance(member, Group) or member.said else ""
    lines = _comment(f"-- {comment}", indent) if comment else []
    head = f"{indent}{member.name}:"
    if isinstance(member, Value):
        return lines + _value(head, member.default, depth)
    return [*lines, head, *(line for each in member.members for line in _member(each, depth + 1))]


def _comment(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=f"{indent}# ",
        subsequent_indent=f"{indent}# ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _value(head: str, default: object, depth: int) -> list[str]:
    """One value; an object of objects gets a line for each of them."""
    if isinstance(default, Mapping) and any(isinstance(each, Mapping) for each in default.values()):
        indent = _INDENT * (depth + 1)
        return [head, *(line for name, each in default.items() for line in _value(f"{indent}{name}:", each, depth + 1))]
    return [f"{head} {inline(default)}"]


def inline(value: object) -> str:
    """Any value on one line, as charts write it: text that needs quotes has double ones."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{inline(name)}: {inline(each)}" for name, each in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(inline(each) for each in value) + "]"
    text = "null" if value is None else scalar(value, flow=True)
    quoted = text.startswith(("'", '"')) or " " in str(value)
    return json.dumps(value, ensure_ascii=False) if quoted else text
