"""What the registry tells, after every change to it and asked oddly, is what stock MLflow tells."""

from __future__ import annotations

import json
from itertools import chain
from typing import Any

import pytest

from tests.differential.both import Both
from tests.differential.registry_shapes import REGISTRY
from tests.differential.shapes import CREATE_MODEL, CREATE_VERSION, GET_ALIAS, GET_VERSION, SET_ALIAS, Shape
from tests.differential.test_odd_values import bodies, compare, values
from tests.differential.wire import Request

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_API = "/api/2.0/mlflow"
MADE = [
    CREATE_MODEL.request(CREATE_MODEL.right),
    *(CREATE_VERSION.request(CREATE_VERSION.right) for _ in range(3)),
    SET_ALIAS.request(SET_ALIAS.right),
]


def changed(method: str, path: str, **fields: Any) -> Request:
    body = json.dumps({"name": "model @S0@", **fields}).encode()
    return Request(method, f"{_API}/{path}", body)


def prompt(path: str, **fields: Any) -> Request:
    tags = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    return changed("POST", path, **{"name": "prompt @S0@", "tags": tags, **fields})


_VERSION = {"version": "2"}
CHANGES = [
    changed("PATCH", "registered-models/update", description="another"),
    changed("PATCH", "model-versions/update", **_VERSION, description="ünï"),
    changed("POST", "registered-models/set-tag", key="k", value="v"),
    changed("POST", "model-versions/set-tag", **_VERSION, key="t", value=""),
    changed("POST", "registered-models/alias", alias="second", version="3"),
    changed("POST", "model-versions/transition-stage", **_VERSION, stage="Staging", archive_existing_versions=False),
    changed("DELETE", "registered-models/delete-tag", key="k"),
    changed("DELETE", "model-versions/delete-tag", **_VERSION, key="t"),
    changed("DELETE", "registered-models/alias", alias="champion"),
    prompt("registered-models/create"),
    prompt("model-versions/create", source="a prompt"),
    changed("DELETE", "model-versions/delete", version="3"),
    changed("POST", "registered-models/rename", new_name="model @S0@ b"),
    changed("POST", "registered-models/rename", name="model @S0@ b", new_name="model @S0@"),
    changed("DELETE", "registered-models/delete"),
]


def test_every_change_of_the_registry_is_told_at_once_as_stock_tells_it(both: Both) -> None:
    both.begin()
    shown = [GET_ALIAS, GET_VERSION, *REGISTRY]
    asked = [
        *(shape.request(shape.right[: 2 + turn]) for shape in shown for turn in (0, -1)),
        Request("GET", f"{_API}/registered-models/get?name=prompt%20@S0@", None, ()),
        Request("GET", f"{_API}/registered-models/search?filter=tags.mlflow.prompt.is_prompt%20=%20'true'", None, ()),
    ]
    found = []
    for change in (*MADE, *CHANGES):
        found += [difference for request in (change, *asked) if (difference := both.difference(request))]
    assert not found, "\n".join(found)
    assert not (rows := both.rows_differ()), rows


@pytest.mark.parametrize("shape", REGISTRY, ids=lambda shape: f"{shape.method}-{shape.route}")
def test_every_odd_question_gets_what_stock_gives(both: Both, shape: Shape) -> None:
    compare(both, chain(MADE, values(shape), bodies(shape)))
