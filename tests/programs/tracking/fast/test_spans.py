"""Spans are read as MLflow's own code reads them, whatever is in them; what is left to it is not looked at here."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow.entities.span import Span
from mlflow.store.tracking.sqlalchemy_store import _try_parse_json_string
from mlflow.tracing.otel import translation
from mlflow.tracing.utils import TraceJSONEncoder
from mlflow.tracing.utils.truncation import _get_truncated_preview
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from homeport.tracking.fast.writes import otlp
from tests.differential.spans import INPUTS, OUTPUTS, body, span

TYPE = "mlflow.spanType"
_CALLS = settings(
    max_examples=150, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)

words = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", "x", '"x"', '"1"', "1", "null", '{"a": 1}', "[1, 2]", '"\\ud800"', "NaN", "{", "ü\u2028", "\0"]
    ),
)
plain = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), words, st.binary(max_size=4))
values = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=8
)
message = st.fixed_dictionaries({}, optional={
    "role": st.sampled_from(["user", "assistant", "system"]),
    "content": words | st.lists(words | st.fixed_dictionaries({"type": st.sampled_from(["text", "output_text", "x"]),
                                                              "text": words | st.integers(0, 9)}), max_size=3),
})  # fmt: skip
chats = st.fixed_dictionaries({}, optional={
    "messages": st.lists(message, max_size=3), "choices": st.lists(st.fixed_dictionaries({"message": message}),
    max_size=2),
    "input": st.lists(message, max_size=2), "output": st.lists(message | words, max_size=2),
    "model": words | st.integers(0, 9),
    "request": st.fixed_dictionaries({"messages": st.lists(message, max_size=2)}),
})  # fmt: skip
texts = st.one_of(values, chats, chats.map(json.dumps), st.text(min_size=990, max_size=1010))
keys = st.sampled_from([
    "mlflow.traceRequestId", "mlflow.spanLogLevel", "mlflow.spanFunctionName", "mlflow.experimentId",
    "mlflow.llm.model",
    "mlflow.llm.provider", "mlflow.chat.tools", "mlflow.message.format", "mine", "http.status_code", "a b",
    "error.type",
    "http.request.header.x-y", "temperature",
])  # fmt: skip
attributes = st.builds(
    lambda known, others: {**others, **known},
    st.fixed_dictionaries({}, optional={TYPE: words, INPUTS: texts, OUTPUTS: texts}),
    st.dictionaries(keys, values, max_size=4),
)
events = st.lists(
    st.tuples(
        st.sampled_from(["exception", "tick", "a b"]), st.integers(1, 2**62), st.dictionaries(words, values, max_size=2)
    ),
    max_size=2,
)
spans = st.builds(
    lambda parent, told, happened, status, name: span(
        parent=parent, attributes=told, events=happened, status=status, name=name
    ),
    st.integers(0, 1), attributes, events, st.tuples(st.integers(0, 3), words), words,
)  # fmt: skip


@pytest.mark.slow
@given(spans)
@_CALLS
def test_a_span_is_stored_as_mlflows_own_code_would_store_it(given_: dict[str, Any]) -> None:
    whole = body(given_)
    found = otlp.read(whole, 1)
    if found is None:
        return
    request: Any = ExportTraceServiceRequest()
    request.ParseFromString(whole)
    part = request.resource_spans[0]
    theirs = Span.from_otel_proto(part.scope_spans[0].spans[0], resource=part.resource)
    stored = translation.translate_span_when_storing(theirs)
    said = stored["attributes"]
    (row,), (told,) = found.spans, found.traces
    assert row == (
        theirs.trace_id, theirs.span_id, theirs.parent_id, theirs.name, theirs.span_type,
        theirs.status.status_code.value,
        theirs.start_time_ns, theirs.end_time_ns, json.dumps(stored, cls=TraceJSONEncoder, ensure_ascii=False),
        _bounded(said.get("mlflow.llm.model")), _bounded(said.get("mlflow.llm.provider")),
    )  # fmt: skip
    if theirs.parent_id is None:
        assert told.request == _get_truncated_preview(said.get(INPUTS), role="user")
        assert told.response == _get_truncated_preview(said.get(OUTPUTS), role="assistant")


def _bounded(value: str | None) -> str | None:
    found = _try_parse_json_string(value)
    return found if found is None else found[:500]


@pytest.mark.slow
@given(attributes)
@_CALLS
def test_what_is_read_here_no_translator_of_mlflows_would_change(told: dict[str, Any]) -> None:
    found = otlp.read(body(span(attributes=told)), 1)
    if found is not None:
        said = json.loads(found.spans[0].content)["attributes"]
        assert translation.translate_span_type_from_otel(said) is None
        assert translation._get_token_usage(said) is None


@pytest.mark.parametrize("key", [
    "gen_ai.operation.name", "openinference.span.kind", "input.value", "input", "output", "user.id", "session.id",
    "mlflow.chat.tokenUsage", "mlflow.llm.cost", "mlflow.traceTag.a", "span.type", "ai.value", "lk.x", "llm.model_name",
    "usage.total_tokens", "entity.type", "tools", "mlflow.new",
])  # fmt: skip
def test_an_attribute_that_mlflow_may_translate_is_left_to_it(key: str) -> None:
    assert otlp.read(body(span(attributes={"mine": "x"})), 1) is not None
    assert otlp.read(body(span(attributes={"mine": "x", key: "x"})), 1) is None
