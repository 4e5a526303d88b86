"""values.schema.json: what Helm lets through. Closed, so that a misspelt key is an error and not a silent default."""

from __future__ import annotations

import json
from typing import Any

from homeport.render.chart.tree import OF_HELM, TREE
from homeport.render.chart.value import Group, Members, Value

DRAFT = "http://json-schema.org/draft-07/schema#"


def values_schema() -> str:
    """The text of charts/homeport/values.schema.json."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def schema() -> dict[str, Any]:
    """The schema as data."""
    whole = _object(TREE)
    whole["properties"] |= OF_HELM
    return {"$schema": DRAFT, "title": "Values of the chart homeport", **whole}


def _object(members: Members) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {member.name: _member(member) for member in members},
    }


def _member(member: Value | Group) -> dict[str, Any]:
    described = {"description": member.help} if member.help else {}
    if isinstance(member, Group):
        return {**described, **_object(member.members)}
    return {**described, **member.schema}
