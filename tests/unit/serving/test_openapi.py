"""The OpenAPI document is valid and knows each model's own columns."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import jsonschema
import pytest
import schemathesis
from fastapi import FastAPI

from homeport.serving import openapi
from homeport.serving.servable import Description

WINE = Description(
    "wine/quality {x}", "3",
    signature={
        "inputs": [
            {"name": "pH", "type": "double", "required": True},
            {"name": "kind", "type": "string", "required": True},
            {"name": "tags", "type": "array", "items": {"type": "long"}, "required": False},
        ],
        "outputs": None,
        "params": [{"name": "limit", "type": "double", "default": 0.5, "shape": None}],
    },
    example={"dataframe_split": {"columns": ["pH", "kind"], "data": [[3.1, "white"]]}, "params": {"limit": 0.1}},
)  # fmt: skip
TENSOR = Description(
    "tensor", "1", signature={"inputs": [{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 3]}}]}
)
BARE = Description("bare", "1")


@pytest.fixture
def base() -> dict[str, Any]:
    app = FastAPI(title="Homeport serving", version="0")

    @app.get("/status")
    async def status() -> dict[str, str]:
        return {}

    return app.openapi()


@pytest.fixture
def document(base: dict[str, Any]) -> dict[str, Any]:
    other = Description(WINE.name, "4", signature=WINE.signature)
    return openapi.document(base, [WINE, other, TENSOR, BARE], version="1.2")


def validator(document: dict[str, Any], path: str) -> jsonschema.Draft202012Validator:
    content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    return jsonschema.Draft202012Validator({**content["schema"], "components": document["components"]})


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    schemathesis.openapi.from_dict(document).validate()
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_the_base_is_kept_and_not_changed(base: dict[str, Any]) -> None:
    before = deepcopy(base)
    found = openapi.document(base, [WINE], version="1.2")
    assert base == before
    assert found["paths"]["/status"]["get"]["summary"] == base["paths"]["/status"]["get"]["summary"]
    assert found["info"]["version"] == "1.2"


def test_every_scoring_path_is_there(document: dict[str, Any]) -> None:
    name = "wine%2Fquality%20%7Bx%7D"
    assert set(document["paths"]) >= {
        "/invocations", "/models/{name}/invocations", "/models/{name}@{alias}/invocations",
        "/models/{name}/versions/{version}/invocations", "/v2/models/{name}/infer",
        "/v2/models/{name}/versions/{version}/infer", f"/models/{name}/invocations",
        f"/models/{name}/versions/3/invocations", f"/models/{name}/versions/4/invocations", f"/v2/models/{name}/infer",
        f"/v2/models/{name}/versions/4/infer", "/models/tensor/invocations", "/models/bare/invocations",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "good"),
    [
        (WINE.example, True),
        ({"dataframe_records": [{"pH": 3.0, "kind": "red", "tags": [1]}]}, True),
        ({"dataframe_records": [{"pH": None, "kind": "red", "tags": None}]}, True),
        ({"inputs": {"pH": [3.0], "kind": ["red"]}}, True),
        ({"dataframe_records": [{"pH": 3.0}]}, False),
        ({"dataframe_records": [{"pH": "3", "kind": "red"}]}, False),
        ({"dataframe_records": [], "inputs": {}}, False),
        ({"dataframe_split": {"data": [], "more": 1}}, False),
        ({"inputs": {"pH": [3.0], "kind": ["red"]}, "params": {"limit": "much"}}, False),
        ({}, False),
    ],
)
def test_a_models_schema_takes_its_own_columns(document: dict[str, Any], body: Any, good: bool) -> None:
    assert validator(document, "/models/wine%2Fquality%20%7Bx%7D/invocations").is_valid(body) is good


def test_examples_fit_their_schemas(document: dict[str, Any]) -> None:
    checked = 0
    for path, item in document["paths"].items():
        content = item.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json", {})
        if "example" in content:
            validator(document, path).validate(content["example"])
            checked += 1
    assert checked == 7  # wine: 2 of version 3, and infer of the name and both versions; tensor: 2 of infer


def test_an_infer_schema_names_the_models_tensors(document: dict[str, Any]) -> None:
    check = validator(document, "/v2/models/wine%2Fquality%20%7Bx%7D/infer")
    tensor = {"name": "pH", "datatype": "FP64", "shape": [1], "data": [3.0]}
    assert check.is_valid({"inputs": [tensor]})
    assert not check.is_valid({"inputs": [{**tensor, "datatype": "FP65"}]})
    assert not check.is_valid({"inputs": []})


def test_a_422_that_is_never_sent_is_not_promised(base: dict[str, Any]) -> None:
    responses = {"200": {"description": "ok"}, "422": {"description": "no"}}
    base["paths"]["/v2/models/{name}"] = {"get": {"responses": responses}}
    found = openapi.document(base, [], version="1")["paths"]["/v2/models/{name}"]["get"]["responses"]
    assert set(found) == {"200", "4XX", "5XX"}
