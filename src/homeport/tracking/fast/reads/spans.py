"""A span as MLflow tells it, from what is stored: OpenTelemetry's protobuf as JSON.

Follows mlflow 3.17.2, entities/span.py `from_dict` and `to_otel_proto`, utils/proto_json_utils.py `message_to_json`.
Spans of older MLflows, with links, or with attributes that upstream translates on reading are left to it. Refuses to
know traces.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import orjson

from homeport.tracking.fast.reads.request import INT64, UnsureError
from homeport.tracking.fast.writes.otlp import is_untranslated

_TRACE, _SPAN = re.compile(r"[A-Za-z0-9+/]{22}=="), re.compile(r"[A-Za-z0-9+/]{11}=")
_FIELDS = frozenset({
    "trace_id", "span_id", "parent_span_id", "name", "start_time_unix_nano", "end_time_unix_nano", "events", "status",
    "attributes", "links",
})  # fmt: skip
_REQUEST, _KIND = "mlflow.traceRequestId", "mlflow.spanType"
_UNSET, _ERROR = "STATUS_CODE_UNSET", "STATUS_CODE_ERROR"
_STATUSES = frozenset({_UNSET, "STATUS_CODE_OK", _ERROR})


def written(content: str) -> bytes:
    """The span's JSON.

    Args:
        content: as stored in `spans`.

    Raises:
        UnsureError: upstream may write it otherwise.
    """
    try:
        return orjson.dumps(_span(json.loads(content)))
    except (ValueError, TypeError, RecursionError) as error:  # what orjson does not write is a TypeError
        raise UnsureError from error


def _span(stored: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    if type(stored) is not dict or not stored.keys() <= _FIELDS or stored.get("links"):
        raise UnsureError
    attributes, events, status = stored["attributes"], stored.get("events", []), stored["status"]
    if type(attributes) is not dict or type(events) is not list or type(status) is not dict:
        raise UnsureError
    said: dict[str, Any] = {
        "trace_id": _matching(_TRACE, stored["trace_id"]),
        "span_id": _matching(_SPAN, stored["span_id"]),
        "start_time_unix_nano": _positive(stored["start_time_unix_nano"]),
        "end_time_unix_nano": _positive(stored["end_time_unix_nano"]),
        "status": _status(status),
    }
    if stored["parent_span_id"] is not None:
        said["parent_span_id"] = _matching(_SPAN, stored["parent_span_id"])
    if name := _text(stored["name"]):
        said["name"] = name
    said["attributes"] = _pairs(_values(attributes))
    if events:
        said["events"] = [_event(event) for event in events]
    return said


def _values(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Each is stored as JSON."""
    if not _text(attributes.get(_REQUEST)):
        raise UnsureError
    values = {}
    for key, text in attributes.items():
        try:
            values[key] = json.loads(text)  # a TypeError for what is no text
        except json.JSONDecodeError:
            values[key] = text or None
    if values.get(_KIND) in (None, "UNKNOWN") and not all(map(is_untranslated, attributes)):
        raise UnsureError
    return values


def _event(event: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    if type(event) is not dict or type(event.get("attributes")) is not dict:
        raise UnsureError
    said: dict[str, Any] = {"time_unix_nano": _positive(event["time_unix_nano"])}
    if name := _text(event["name"]):
        said["name"] = name
    if event["attributes"]:
        said["attributes"] = _pairs(event["attributes"])
    return said


def _status(status: Mapping[str, Any]) -> dict[str, str]:
    code, message = status["code"], _text(status.get("message", ""))
    if code not in _STATUSES:
        raise UnsureError
    said = {} if code == _UNSET else {"code": str(code)}
    return {**said, "message": message} if message and code == _ERROR else said


def _pairs(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """KeyValues; protobuf leaves out an empty key, and a value that is none."""
    return [
        ({"key": key} if key else {}) | ({} if value is None else {"value": _any(value)})
        for key, value in values.items()
    ]


def _any(value: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    if value is None:
        return {}
    if type(value) is bool:
        return {"bool_value": value}
    if type(value) is str:
        return {"string_value": value}
    if type(value) is int:
        if not -INT64 <= value <= INT64:
            raise UnsureError
        return {"int_value": value}
    if type(value) is float:
        return {"double_value": value if math.isfinite(value) else _named(value)}
    if type(value) is list:
        return {"array_value": {"values": [_any(item) for item in value]} if value else {}}
    return {"kvlist_value": {"values": _pairs(value)} if value else {}}


def _named(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _text(value: Any) -> str:  # noqa: ANN401 - JSON
    if type(value) is not str:
        raise UnsureError
    return value


def _positive(value: Any) -> int:  # noqa: ANN401 - JSON
    if type(value) is not int or not 0 < value <= INT64:
        raise UnsureError
    return value


def _matching(pattern: re.Pattern[str], value: Any) -> str:  # noqa: ANN401 - JSON
    if not pattern.fullmatch(_text(value)):
        raise UnsureError
    return str(value)
