"""Spans as OpenTelemetry's exporters and MLflow's own client send them, read as MLflow surely reads them.

Follows mlflow 3.17.2: server/otel_api.py `export_traces`, entities/span.py `from_otel_proto` and `to_dict`,
tracing/otel/translation. Attributes that upstream translates into others (the conventions of agent frameworks), token
usage, cost, sessions and users give `None`. Refuses to know HTTP and the database.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Iterable
from typing import Any, NamedTuple

from homeport.tracking.fast.writes.body import LONGEST_TAG, is_name
from homeport.tracking.fast.writes.previews import model_of, plain, preview

LARGEST = 2**18  # bytes of spans; more are MLflow's, which has processes for it
_MOST_SPANS = 512  # an exporter's batch
_TRACE_BYTES, _SPAN_BYTES = 16, 8
_MILLISECOND = 1_000_000  # ns
_EARLIEST = 10**15  # ns; whatever began before has no clock
_LATEST = 2**63 - 1
_LONGEST_KIND = 500
_LONGEST_MODEL = 500
_REQUEST_ID = "mlflow.traceRequestId"
_INPUTS, _OUTPUTS = "mlflow.spanInputs", "mlflow.spanOutputs"
_KIND = "mlflow.spanType"
_MODEL, _PROVIDER = "mlflow.llm.model", "mlflow.llm.provider"
_KNOWN = frozenset({
    _REQUEST_ID, _INPUTS, _OUTPUTS, _KIND, _MODEL, _PROVIDER, "mlflow.experimentId", "mlflow.spanLogLevel",
    "mlflow.spanFunctionName", "mlflow.spanDescription", "mlflow.spanStartTimeNs", "mlflow.chat.tools",
    "mlflow.message.format",
})  # fmt: skip
# What translators of upstream's look for without a dot, and a few that they might.
_TRANSLATED = frozenset({
    "cache_creation_tokens", "cache_read_tokens", "file_path", "full_command", "input", "input_tokens", "messages",
    "model", "new_context", "output", "output_tokens", "skill_name", "subagent_type", "tool_input", "tools",
    "user_prompt",
})  # fmt: skip
# A user's own word, or a name of OpenTelemetry's general conventions; no translator looks for any of these.
_FREE = re.compile(
    r"(?:(?:client|code|db|error|exception|http|net|network|otel|rpc|server|thread|url|user_agent)\.)?[A-Za-z0-9_ -]+"
)
_FREE_DEEPER = re.compile(r"(?:client|code|db|error|exception|http|net|network|rpc|server|url)(?:\.[a-z0-9_-]+){1,4}")
_EVENT = re.compile(r"[A-Za-z0-9_ -]+")
# Agents that upstream tells by their name.
_AGENTS = frozenset({"claude-code", "codex_cli_rs", "codex_vscode", "gemini-cli", "qwen-code"})
_NO_TAGS = ("telemetry.sdk.", "mlflow.")
_STATUSES = {1: "OK", 2: "ERROR"}  # all others are UNSET
# As upstream's encoder writes what protobuf's values become: `str` of bytes, which alone are not JSON.
_dump = json.JSONEncoder(ensure_ascii=False, default=str).encode


class SpanRow(NamedTuple):
    """A row of `spans`, but for the experiment."""

    trace: str
    span: str
    parent: str | None
    name: str
    kind: str | None
    status: str
    start: int
    end: int
    content: str
    model: str | None
    provider: str | None


class TraceRow(NamedTuple):
    """What one request tells about a trace as a whole; times in ms."""

    trace: str
    start: int
    end: int
    status: str | None  # of the root span, if it is among them
    request: str | None
    response: str | None
    tags: dict[str, str]


class Batch(NamedTuple):
    """One request's spans, by trace."""

    experiment: int
    traces: list[TraceRow]
    spans: list[SpanRow]


class _Read(NamedTuple):
    row: SpanRow
    attributes: dict[str, str]


class _OddError(Exception):
    """Left to MLflow."""


def unzipped(body: bytes) -> bytes | None:
    """A body of gzip, if it is whole, one, and not large."""
    reader = zlib.decompressobj(31)
    try:
        whole = reader.decompress(body, LARGEST + 1)
    except zlib.error:
        return None
    return whole if reader.eof and not reader.unused_data and len(whole) <= LARGEST else None


def read(body: bytes, experiment: int) -> Batch | None:
    """The spans of one request; None for what MLflow might read otherwise, or refuse."""
    # Loaded with the first request of this kind only: it takes 60 ms and 6 MB.
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it has no stubs
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request: Any = ExportTraceServiceRequest()
    try:
        request.ParseFromString(body)
        return _read(request, experiment)
    except (DecodeError, _OddError, ValueError, TypeError, RecursionError):
        return None


def _read(request: Any, experiment: int) -> Batch | None:  # noqa: ANN401 - protobuf's
    found: dict[str, list[_Read]] = {}
    tags: dict[str, dict[str, str]] = {}
    for part in request.resource_spans:
        told = _tags(part.resource.attributes)
        for scope in part.scope_spans:
            for span in scope.spans:
                one = _span(span)
                found.setdefault(one.row.trace, []).append(one)
                if told is not None:
                    tags.setdefault(one.row.trace, told)
    rows = [one.row for spans in found.values() for one in spans]
    if not rows or len(rows) > _MOST_SPANS or len({(row.trace, row.span) for row in rows}) < len(rows):
        return None
    traces = [_trace(trace, spans, tags.get(trace, {})) for trace, spans in found.items()]
    return Batch(experiment, traces, rows)


def _trace(trace: str, spans: list[_Read], tags: dict[str, str]) -> TraceRow:
    """Upstream takes the status from the first root and the previews from the last: more than one is left to it."""
    roots = [one for one in spans if one.row.parent is None]
    if len(roots) > 1:
        raise _OddError
    start = min(one.row.start for one in spans) // _MILLISECOND
    end = max(one.row.end for one in spans) // _MILLISECOND
    if not roots:
        return TraceRow(trace, start, end, None, None, None, tags)
    root = roots[0]
    status = "ERROR" if root.row.status == "ERROR" else "OK"
    request, response = root.attributes.get(_INPUTS), root.attributes.get(_OUTPUTS)
    return TraceRow(
        trace, start, end, status,
        None if request is None else preview(request, "user"),
        None if response is None else preview(response, "assistant"),
        tags,
    )  # fmt: skip


def _span(span: Any) -> _Read:  # noqa: ANN401 - protobuf's
    trace, own, parent = span.trace_id, span.span_id, span.parent_span_id
    if len(trace) != _TRACE_BYTES or len(own) != _SPAN_BYTES or len(parent) not in {0, _SPAN_BYTES}:
        raise _OddError
    if not any(trace) or not any(own) or (parent and not any(parent)) or len(span.links):
        raise _OddError
    start, end = span.start_time_unix_nano, span.end_time_unix_nano
    if not _EARLIEST <= start <= end <= _LATEST:
        raise _OddError
    request = f"tr-{trace.hex()}"
    attributes = _attributes(span.attributes)
    kind = attributes.get(_KIND)
    found = None if kind is None else json.loads(kind)
    if found is not None and (type(found) is not str or not plain(found, _LONGEST_KIND)):
        raise _OddError
    attributes[_REQUEST_ID] = f'"{request}"'
    attributes = _unwrapped(attributes)
    if _MODEL not in attributes and (model := model_of(attributes.get(_INPUTS), attributes.get(_OUTPUTS))):
        attributes[_MODEL] = _dump(model)
    status = _STATUSES.get(span.status.code, "UNSET")
    content = _dump({
        "trace_id": base64.b64encode(trace).decode(),
        "span_id": base64.b64encode(own).decode(),
        "parent_span_id": base64.b64encode(parent).decode() if parent else None,
        "name": span.name,
        "start_time_unix_nano": start,
        "end_time_unix_nano": end,
        "events": [_event(event) for event in span.events],
        # OpenTelemetry keeps the message of errors only.
        "status": {"code": f"STATUS_CODE_{status}", "message": span.status.message if status == "ERROR" else ""},
        "attributes": attributes,
        "links": [],
    })  # fmt: skip
    content.encode()  # what cannot be written, the database could not take either
    if not plain(span.name):
        raise _OddError
    row = SpanRow(
        request, own.hex(), parent.hex() if parent else None, span.name, found, status, start, end, content,
        _dimension(attributes.get(_MODEL)), _dimension(attributes.get(_PROVIDER)),
    )  # fmt: skip
    return _Read(row, attributes)


def is_untranslated(key: str) -> bool:
    """Whether an attribute of that name surely is no convention that upstream translates."""
    return key in _KNOWN or (key not in _TRANSLATED and bool(_FREE.fullmatch(key) or _FREE_DEEPER.fullmatch(key)))


def _attributes(given: Iterable[Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for attribute in given:
        key = attribute.key
        if not is_untranslated(key):
            raise _OddError
        found[key] = _dump(_value(attribute.value))
    return found


def _event(event: Any) -> dict[str, Any]:  # noqa: ANN401 - protobuf's
    if not _EVENT.fullmatch(event.name) or event.time_unix_nano == 0:  # without a time it is upstream's now
        raise _OddError
    return {
        "name": event.name,
        "time_unix_nano": event.time_unix_nano,
        "attributes": {attribute.key: _value(attribute.value) for attribute in event.attributes},
    }


def _value(value: Any) -> Any:  # noqa: ANN401 - protobuf's, and what it holds
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {item.key: _value(item.value) for item in value.kvlist_value.values}
    if kind not in {"string_value", "bool_value", "int_value", "double_value", "bytes_value"}:
        raise _OddError
    return getattr(value, kind)


def _unwrapped(attributes: dict[str, str]) -> dict[str, str]:
    """As `sanitize_attributes`: a text that is JSON of a text, a list or an object is that JSON itself."""
    found: dict[str, str] = {}
    for key, value in attributes.items():
        inner = json.loads(value) if value.startswith('"') else None
        if isinstance(inner, str):
            try:
                if isinstance(json.loads(inner), str | dict | list):
                    value = inner  # noqa: PLW2901 - as upstream
            except json.JSONDecodeError:
                pass
        found[key] = value
    return found


def _dimension(value: str | None) -> str | None:
    """A model's or provider's name, as in `_try_parse_json_string` and `bounded_model_dimension`."""
    if value is None:
        return None
    try:
        inner = json.loads(value)
    except json.JSONDecodeError:
        inner = value
    name = (inner if isinstance(inner, str) else value)[:_LONGEST_MODEL]
    if not plain(name):
        raise _OddError
    return name


def _tags(given: Iterable[Any]) -> dict[str, str] | None:
    """A resource's attributes as tags of its traces; None where it has none."""
    values = {attribute.key: _value(attribute.value) for attribute in given}
    tags: dict[str, str] = {}
    for key, value in values.items():
        if not key or type(value) not in {str, int, bool} or (key == "service.name" and str(value) in _AGENTS):
            raise _OddError
        if key.startswith(_NO_TAGS):
            continue
        text = value if type(value) is str else json.dumps(value)
        if not is_name(key) or not plain(text, LONGEST_TAG):
            raise _OddError
        tags[key] = text
    return tags if values else None
