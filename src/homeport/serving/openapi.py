"""The OpenAPI 3.1 document: FastAPI's, with the scoring paths that FastAPI does not see and each model's own schema.

It reads descriptions only; it knows neither the registry nor what answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any
from urllib.parse import quote

from homeport.serving.openapi_models import infer_example, infer_request, invocation
from homeport.serving.servable import Description

Json = dict[str, Any]

_ERRORS = {
    "400": "the request does not fit",
    "404": "no such model, version or alias here",
    "405": "only POST",
    "413": "the body is larger than allowed",
    "415": "a content type that is not read",
    "429": "too many requests for this model",
    "500": "the model failed",
    "503": "not now: starting, stopping or too busy",
    "504": "no answer in time",
}
_SCHEMAS: Json = {
    "Error": {
        "type": "object",
        "required": ["error_code", "message"],
        "properties": {"error_code": {"type": "string"}, "message": {"type": "string"}},
    },
    "OipError": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}},
    "Predictions": {
        "type": "object",
        "description": "Models of chat answer without the key predictions.",
        "properties": {"predictions": {}},
    },
    "OipResponse": {
        "type": "object",
        "required": ["model_name", "outputs"],
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "outputs": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name", "shape", "datatype"],
                    "properties": {
                        "name": {"type": "string"},
                        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
                        "datatype": {"type": "string"},
                        "parameters": {"type": "object"},
                        "data": {"type": "array"},
                    },
                },
            },
        },
    },
}


_SECURITY: Json = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "Authorization: Bearer KEY"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "basic": {"type": "http", "scheme": "basic", "description": "Any user, and the key as the password."},
}


def keyed(document: Json, open_paths: Iterable[str]) -> Json:
    """The document of a server that asks for a key; `open_paths` need none."""
    found = deepcopy(document)
    found.setdefault("components", {})["securitySchemes"] = _SECURITY
    found["security"] = [{name: []} for name in _SECURITY]
    unasked = set(open_paths)
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            if method == "parameters":
                continue
            if path in unasked:
                operation["security"] = []
            else:
                operation.setdefault("responses", {}).setdefault("401", {"description": "a key is needed"})
    return found


def document(base: Json, descriptions: Sequence[Description], *, version: str) -> Json:
    """The document with every scoring path.

    Args:
        base: FastAPI's document; it is not changed.
        descriptions: what is loaded; of several versions the first is taken for the paths without version.
        version: of Homeport.
    """
    found = deepcopy(base)
    found["info"]["version"] = version
    components = found.setdefault("components", {}).setdefault("schemas", {})
    components.update(deepcopy(_SCHEMAS))
    paths = found.setdefault("paths", {})
    for item in paths.values():
        _honest(item)
    for path, item in _general():
        paths[path] = {**paths.get(path, {}), **item}
    for described, path, key in _concrete(descriptions):
        components.setdefault(f"{key}.invocation", invocation(described.signature))
        components.setdefault(f"{key}.infer", infer_request(described.signature))
        title = f"{described.name} version {described.version}"
        paths[f"/models/{path}/invocations"] = _invocations(title, f"{key}.invocation", described.example)
        paths[f"/v2/models/{path}/infer"] = _infer(title, f"{key}.infer", infer_example(described.signature))
    components.setdefault("Invocation", invocation(None))
    components.setdefault("Infer", infer_request(None))
    return found


def _honest(item: Json) -> None:
    """FastAPI promises 422 with a body of its own; this server answers 400, and may be away."""
    for operation in item.values():
        if isinstance(operation, dict) and "responses" in operation:
            operation["responses"].pop("422", None)
            for codes, text in (("4XX", "the request cannot be answered"), ("5XX", "not now")):
                operation["responses"].setdefault(codes, {"description": text, "content": {"application/json": {}}})


def _concrete(descriptions: Sequence[Description]) -> Iterable[tuple[Description, str, str]]:
    """Each model's paths: the name alone once, and every version."""
    names: set[str] = set()
    for place, described in enumerate(descriptions):
        key = f"model{place}"  # a name may hold anything, a component's name may not
        name = _segment(described.name)
        if described.name not in names:
            names.add(described.name)
            yield described, name, key
        yield described, f"{name}/versions/{_segment(described.version)}", key


def _segment(text: str) -> str:
    """A path segment; braces would make it a template."""
    return quote(text, safe="")


def _general() -> Iterable[tuple[str, Json]]:
    """The scoring paths as templates."""
    yield "/invocations", _invocations("the only model", "Invocation", None)
    for path, names in (
        ("{name}", ["name"]),
        ("{name}@{alias}", ["name", "alias"]),
        ("{name}/versions/{version}", ["name", "version"]),
    ):
        parameters = [_parameter(name) for name in names]
        yield f"/models/{path}/invocations", {
            **_invocations("a model", "Invocation", None), "parameters": parameters,
        }  # fmt: skip
        if "alias" not in names:
            yield f"/v2/models/{path}/infer", {**_infer("a model", "Infer", None), "parameters": parameters}


def _parameter(name: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _invocations(of: str, schema: str, example: object) -> Json:
    content: Json = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
    if example is not None:
        content["example"] = example
    text = {"schema": {"type": "string"}}
    return {
        "post": {
            "tags": ["mlflow"],
            "summary": f"Predict: {of}",
            "requestBody": {"required": True, "content": {"application/json": content, "text/csv": text}},
            "responses": _responses("Predictions", "Error"),
        }
    }


def _infer(of: str, schema: str, example: object) -> Json:
    content: Json = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
    if example is not None:
        content["example"] = example
    responses = _responses("OipResponse", "OipError")
    responses["200"]["content"]["application/octet-stream"] = {}
    return {
        "post": {
            "tags": ["open inference protocol"],
            "summary": f"Infer: {of}",
            "requestBody": {"required": True, "content": {"application/json": content}},
            "responses": responses,
        }
    }


def _responses(good: str, error: str) -> Json:
    def answer(description: str, schema: str) -> Json:
        content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
        return {"description": description, "content": content}

    return {"200": answer("the answer", good), **{code: answer(text, error) for code, text in _ERRORS.items()}}
