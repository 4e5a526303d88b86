"""Requests about traces: what OpenTelemetry's exporters and MLflow's client send, and what is asked of them.

Refuses to know answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.differential.both import Both
from tests.differential.wire import Request

NOW = 1_700_000_000_123_456_789
KIND = ("content-type", "application/x-protobuf")
INFO = "/api/3.0/mlflow/traces"
UNKNOWN = {"mlflow.spanType": "UNKNOWN"}
RESOURCE = {"service.name": "shop", "telemetry.sdk.language": "python", "host.name": "h", "process.pid": 7}
INPUTS, OUTPUTS = "mlflow.spanInputs", "mlflow.spanOutputs"
Attributes = Mapping[str, Any]


def trace(number: int) -> str:
    return f"tr-{number:032x}"


def fill(target: Any, value: Any) -> None:
    """An AnyValue of protobuf, from Python's."""
    match value:
        case None:
            pass
        case bool():
            target.bool_value = value
        case str():
            target.string_value = value
        case int():
            target.int_value = value
        case float():
            target.double_value = value
        case bytes():
            target.bytes_value = value
        case dict():
            target.kvlist_value.SetInParent()
            for key, inner in value.items():
                fill(target.kvlist_value.values.add(key=key).value, inner)
        case _:
            target.array_value.SetInParent()
            for inner in value:
                fill(target.array_value.values.add(), inner)


def span(number: int = 1, own: int = 1, parent: int = 0, **given: Any) -> dict[str, Any]:
    """A span as its fields; `attributes` and `events` in short."""
    return {
        "trace_id": number.to_bytes(16, "big"), "span_id": own.to_bytes(8, "big"),
        "parent_span_id": parent.to_bytes(8, "big") if parent else b"", "name": f"span {own}",
        "start_time_unix_nano": NOW + own * 1_000_000, "end_time_unix_nano": NOW + 50_000_000 + own * 1_000_000,
        "attributes": UNKNOWN, **given,
    }  # fmt: skip


def body(*spans: Mapping[str, Any], resource: Attributes = RESOURCE) -> bytes:
    request: Any = ExportTraceServiceRequest()
    part = request.resource_spans.add()
    for key, value in resource.items():
        fill(part.resource.attributes.add(key=key).value, value)
    for given_ in spans:
        fields = dict(given_)
        attributes, events = fields.pop("attributes"), fields.pop("events", ())
        links, (code, message) = fields.pop("links", ()), fields.pop("status", (0, ""))
        one = part.scope_spans.add().spans.add(**fields)
        one.status.code, one.status.message = code, message
        for key, value in attributes.items():
            fill(one.attributes.add(key=key).value, value)
        for name, moment, said in events:
            event = one.events.add(name=name, time_unix_nano=moment)
            for key, value in said.items():
                fill(event.attributes.add(key=key).value, value)
        for link in links:
            one.links.add(trace_id=link, span_id=link[:8])
    whole: bytes = request.SerializeToString()
    return whole


def export(*spans: Mapping[str, Any], experiment: str = "@E0@", resource: Attributes = RESOURCE) -> Request:
    return sent(body(*spans, resource=resource), ("x-mlflow-experiment-id", experiment))


def sent(whole: bytes, *headers: tuple[str, str], kind: tuple[str, str] = KIND) -> Request:
    return Request("POST", "/v1/traces", whole, (kind, *headers))


def told(number: int = 1, **given: Any) -> Request:
    """What MLflow's client tells at a trace's end."""
    info = {
        "trace_id": trace(number),
        "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "@E0@"}},
        "request_time": "2023-11-14T22:13:20.123Z", "execution_duration": "0.051s", "state": "OK",
        "trace_metadata": {"mlflow.trace_schema.version": "3", "mlflow.source.name": "x.py"},
        "tags": {"mlflow.traceName": "f", "team": "a"}, "request_preview": '{"x": 1}', "response_preview": "2", **given,
    }  # fmt: skip
    info = {name: value for name, value in info.items() if value is not ...}
    return Request("POST", INFO, json.dumps({"trace": {"trace_info": info}}).encode())


def search(**given: Any) -> Request:
    location = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "@E0@"}}
    return Request("POST", f"{INFO}/search", json.dumps({"locations": [location], **given}).encode())


def asked(*numbers: int) -> list[Request]:
    """All reads about these traces."""
    several = "&".join(f"trace_ids={trace(number)}" for number in numbers)
    reads = [search(), search(max_results=1), search(order_by=["timestamp_ms ASC"]), search(filter="status = 'OK'")]
    ids = json.dumps({"trace_ids": [trace(number) for number in numbers]})
    reads.append(Request("POST", f"{INFO}/batchGetInfos", ids.encode()))
    reads.append(Request("GET", f"{INFO}/batchGet?{several}", None, ()))
    for number in numbers:
        reads.append(Request("GET", f"{INFO}/{trace(number)}", None, ()))
        reads.append(Request("GET", f"{INFO}/get?trace_id={trace(number)}&allow_partial=True", None, ()))
    return reads


def agree(both: Both, requests: Sequence[Request]) -> None:
    """The same answers, and at last the same rows."""
    both.begin()
    for request in requests:
        assert not (found := both.difference(request)), found
    assert not (rows := both.rows_differ()), rows
