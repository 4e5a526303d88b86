"""A model's signature as JSON schemas of the requests it takes. Signature and schema are plain JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from homeport.serving.oip import datatypes, interface

Json = dict[str, Any]

_TYPES: dict[str, Json] = {
    "boolean": {"type": "boolean"},
    "integer": {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    "long": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    "float": {"type": ["number", "null"], "format": "float"},
    "double": {"type": ["number", "null"], "format": "double"},
    "string": {"type": "string"},
    "binary": {"type": "string", "contentEncoding": "base64"},
    "datetime": {"type": "string", "format": "date-time"},
}


def invocation(signature: Mapping[str, Any] | None) -> Json:
    """The schema of a body for /invocations: one of four forms, and params."""
    inputs: Sequence[Mapping[str, Any]] = (signature or {}).get("inputs") or ()
    forms = _any_forms() if not inputs else _tensor_forms(inputs) if _is_tensor(inputs) else _column_forms(inputs)
    params = _params((signature or {}).get("params") or ())
    return {
        "oneOf": [
            {
                "type": "object",
                "required": [form],
                "properties": {form: schema, "params": params},
                "title": form,
            }
            for form, schema in forms.items()
        ]
    }


def infer_request(signature: Mapping[str, Any] | None) -> Json:
    """The schema of a body for infer: the model's own tensors by name."""
    fields = interface.of(signature).inputs
    tensor = {"anyOf": [_tensor(f.name, f.datatype, f.shape) for f in fields]} if fields else _tensor(None, None, None)
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "parameters": {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
            "inputs": {"type": "array", "minItems": 1, "items": tensor},
            "outputs": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {"name": {"type": "string"}, "parameters": {"type": "object"}},
                },
            },
        },
    }


def infer_example(signature: Mapping[str, Any] | None) -> Json | None:
    """A request of one row that fits the signature, None when there is none to fit."""
    fields = interface.of(signature).inputs
    if not fields:
        return None
    return {
        "inputs": [
            {"name": f.name, "datatype": f.datatype, "shape": shape, "data": [_value(f)] * _count(shape)}
            for f in fields
            for shape in [[1 if size == -1 else size for size in f.shape]]
        ]
    }


def _value(field: interface.Field) -> Any:  # noqa: ANN401 - JSON
    if field.datatype == datatypes.BYTES:
        return {"datetime": "2026-01-01T00:00:00", "array": "[]", "object": "{}", "map": "{}"}.get(field.kind, "")
    return False if field.datatype == datatypes.BOOL else 0.0 if field.datatype in datatypes.FLOATS else 0


def _count(shape: Sequence[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return min(count, 1000)


def _tensor(name: str | None, datatype: str | None, shape: Sequence[int] | None) -> Json:
    known: Json = {"type": "string"} if name is None else {"const": name}
    size: Json = {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 1}}
    if shape:
        size["description"] = f"{list(shape)}, -1: any"
    kind: Json = {"enum": list(datatypes.KNOWN)}
    if datatype:
        kind["description"] = f"the model's own: {datatype}"
    return {
        "type": "object",
        "required": ["name", "shape", "datatype"],
        "properties": {
            "name": known, "shape": size, "datatype": kind, "parameters": {"type": "object"}, "data": {"type": "array"},
        },
    }  # fmt: skip


def _is_tensor(inputs: Sequence[Mapping[str, Any]]) -> bool:
    return inputs[0].get("type") == "tensor"


def _any_forms() -> Json:
    rows: Json = {"type": "array", "items": {"type": "object"}}
    return {
        "dataframe_split": _split({"type": "array"}, {"type": "array"}),
        "dataframe_records": rows,
        "instances": {},
        "inputs": {},
    }


def _split(columns: Json, row: Json) -> Json:
    return {
        "type": "object",
        "required": ["data"],
        "properties": {"columns": columns, "index": {"type": "array"}, "data": {"type": "array", "items": row}},
        "additionalProperties": False,
    }


def _column_forms(inputs: Sequence[Mapping[str, Any]]) -> Json:
    if any("name" not in spec for spec in inputs):
        return _any_forms()
    columns = {str(spec["name"]): _type(spec) for spec in inputs}
    required = [str(spec["name"]) for spec in inputs if spec.get("required", True)]
    record = {"type": "object", "required": required, "properties": columns}
    series = {
        "type": "object",
        "required": required,
        "properties": {name: {"type": "array", "items": kind} for name, kind in columns.items()},
    }
    names = {"type": "array", "items": {"type": "string"}, "default": list(columns)}
    records = {"type": "array", "items": record, "minItems": 1}
    return {
        "dataframe_split": _split(names, {"type": "array"}),
        "dataframe_records": records,
        "instances": records,
        "inputs": {"anyOf": [records, series]},
    }


def _tensor_forms(inputs: Sequence[Mapping[str, Any]]) -> Json:
    if any("name" not in spec for spec in inputs):
        shape = inputs[0]["tensor-spec"]["shape"]
        described: Json = {"type": "array", "description": f"shape {list(shape)}, -1: any"}
        return {"inputs": described, "instances": described}
    names = {str(spec["name"]): {"description": f"shape {list(spec['tensor-spec']['shape'])}"} for spec in inputs}
    whole = {"type": "object", "required": list(names), "properties": names}
    return {"inputs": whole, "instances": {"type": "array", "items": whole}}


def _type(spec: Mapping[str, Any]) -> Json:
    """The schema of a column's values."""
    kind = str(spec.get("type"))
    found: Json = dict(_TYPES.get(kind, {}))
    if kind == "array":
        found = {"type": "array", "items": _type(spec.get("items") or {})}
    elif kind == "object":
        properties: Mapping[str, Any] = spec.get("properties") or {}
        found = {
            "type": "object",
            "properties": {name: _type(each) for name, each in properties.items()},
            "required": [name for name, each in properties.items() if each.get("required", True)],
        }
    elif kind == "map":
        found = {"type": "object", "additionalProperties": _type(spec.get("values") or {})}
    if spec.get("required", True) or "type" not in found:
        return found
    return {"anyOf": [found, {"type": "null"}]}


def _params(specs: Sequence[Mapping[str, Any]]) -> Json:
    properties: Json = {}
    for spec in specs:
        kind = _type({"type": spec.get("type")})
        listed = {"type": "array", "items": kind} if spec.get("shape") else kind
        properties[str(spec["name"])] = {**listed, "default": spec.get("default")}
    return {"type": "object", "properties": properties}
