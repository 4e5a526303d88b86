"""docs/reference/values.md: every value with its type, its default and what it does."""

from __future__ import annotations

from collections.abc import Iterator

from homeport.render.chart.document import inline
from homeport.render.chart.tree import TREE
from homeport.render.chart.value import Group, Keys, Members, Schema, Value

_KINDS = {
    "string": "text",
    "boolean": "true or false",
    "integer": "whole number",
    "number": "number",
    "object": "object",
    "array": "list",
    "null": "null",
}
_TOP = "The whole"


def values_page() -> str:
    """The text of docs/reference/values.md, without the line that says that it is generated."""
    lines = [
        "# Values of the chart",
        "",
        "What `helm install --set NAME=VALUE` and `-f values.yaml` may say. The chart's `values.schema.json` refuses",
        "every other name and every value of another type, before anything is changed in the cluster. Nothing is",
        "required: the defaults are a trial. A value that is one of Homeport's [settings](settings.md) names its",
        "variable; `homeport render values` makes a file from the settings of a platform that runs as plain processes",
        "or in Compose. Types with a capital letter are Kubernetes' own and are passed on as they are.",
    ]
    single = tuple(member for member in TREE if isinstance(member, Value))
    lines += _section(_TOP, "", single)
    for member in TREE:
        if isinstance(member, Group):
            lines += _section(member.name, member.help, member.members, (member.name,))
    return "\n".join(lines) + "\n"


def _section(title: str, help: str, members: Members, above: Keys = ()) -> list[str]:
    lines = ["", f"## {title}", ""]
    if help:
        lines += [help, ""]
    return [*lines, "| Value | Type | Default | What it does |", "|---|---|---|---|", *_rows(members, above)]


def _rows(members: Members, above: Keys) -> Iterator[str]:
    for member in members:
        path = (*above, member.name)
        if isinstance(member, Value):
            yield _value_row(path, member)
            continue
        if member.help:
            yield _row(f"`{'.'.join(path)}`", "", "", _sentence(member.help))
        yield from _rows(member.members, path)


def _value_row(path: Keys, value: Value) -> str:
    variable = f" Setting `{value.env}`." if value.env else ""
    default = "" if value.default in ("", [], {}) else f"`{inline(value.default)}`"
    return _row(f"`{'.'.join(path)}`", kind(value.schema), default, f"{_sentence(value.help)}{variable}")


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "]")) else f"{text}."


def kind(schema: Schema) -> str:
    """What a value may be, for people."""
    if "title" in schema:
        title = str(schema["title"])
        return f"list of {title}" if schema.get("type") == "array" and title[0].isupper() else title
    if "enum" in schema:
        return " or ".join(f"`{word}`" for word in schema["enum"])
    names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if names == ["array"] and "items" in schema:
        return f"list of {kind(schema['items'])}"
    return " or ".join(_KINDS[name] for name in names) + _range(schema)


def _range(schema: Schema) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if most is not None:
        return f", {least} to {most}"
    return "" if least is None else f" from {least}"
