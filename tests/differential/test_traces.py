"""Traces as clients send them, and all that is asked about them: answered fast, with answers and rows as stock's."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

import pytest

from tests.differential.both import Both
from tests.differential.spans import INFO, INPUTS, NOW, OUTPUTS, UNKNOWN, agree, asked, export, span, told
from tests.differential.test_fast import fast
from tests.differential.wire import Request

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CHAT = {"messages": [{"role": "system", "content": "be"}, {"role": "user", "content": "hello ü"}], "model": "m-1"}
CHOICE = {"choices": [{"message": {"role": "assistant", "content": [{"type": "text", "text": "hi"}]}}]}
USAGE = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
WRITTEN: Mapping[str, Sequence[Request]] = {
    "spans, then the trace": [export(span(own=2, parent=1)), export(span()), told()],
    "the trace, then spans": [told(), export(span(), span(own=2, parent=1))],
    "spans of one trace in several requests": [
        export(span(own=3, parent=2)), export(span(own=2, parent=1)), export(span(own=1)), export(span(own=9,
        parent=1)),
    ],
    "spans sent twice": [export(span()), export(span(name="other")), told(), told()],
    "earlier and later spans": [
        export(span(own=2, parent=1)),
        export(span(start_time_unix_nano=NOW - 10**9, end_time_unix_nano=NOW + 10**9)),
        told(request_time="2023-11-14T22:13:20Z", execution_duration=...), export(span(own=5, parent=1)),
    ],
    "several traces in a request": [export(span(1), span(2), span(1, 2, 1), span(3, 1, 7)), told(2), told(3)],
    "an error": [
        export(span(own=2, parent=1, status=(2, "böse"), events=[
            ("exception", NOW, {"exception.type": "E", "exception.message": "\u2028 \0", "n": 1, "l": [1, "a"]}),
        ]), span(status=(2, "x"))), told(state="ERROR"),
    ],
    "statuses": [export(span(status=(1, "told")), span(own=2, parent=1, status=(0, "x"))), told(state="IN_PROGRESS")],
    "values of all kinds": [export(span(attributes={
        **UNKNOWN, "text": "ü\u2028\0", "json": '{"a": 1}', "list": '["a"]', "quoted": '"x"', "number": "1",
        "int": 2**62,
        "negative": -1, "float": 1e300, "nan": math.nan, "inf": math.inf, "flag": True, "none": None, "empty": "",
        "bytes": b"\xff\0", "tree": {"a": [1, {"b": None}], "": 2.0}, "lists": [[], {}, [1.5, "x"]],
        "http.status_code": 200, "code.function": "f", "server.address": "a",
    }))],
    "a conversation": [export(span(attributes={INPUTS: CHAT, OUTPUTS: CHOICE, "mlflow.spanType": "CHAT_MODEL"}))],
    "a conversation as text": [
        export(span(attributes={INPUTS: json.dumps(CHAT), OUTPUTS: json.dumps(CHOICE), "mlflow.spanType": '"LLM"'})),
    ],
    "long previews": [export(span(attributes={INPUTS: "ü" * 3000, OUTPUTS: {"model": "m" * 600, "x": "y" * 2000}}))],
    "an odd model": [export(span(attributes={INPUTS: {"model": 1}, OUTPUTS: {"model": "m"}}))],
    "no resource": [export(span(), resource={}), export(span(2), resource={"mlflow.trace.spansLocation": "x"})],
    "tags of a resource": [export(span(), resource={"a b": "x", "n": 1, "f": True, "team": "b"}), told()],
    "another experiment": [export(span(), experiment="0"), told(), export(span(own=2, parent=1), experiment="0")],
    "usage and cost": [
        export(span()), told(trace_metadata={
            "mlflow.trace.tokenUsage": json.dumps(USAGE), "mlflow.trace.session": "s",
            "mlflow.trace.cost": '{"input_cost": 0.1, "total_cost": 0.30000000000000004}', "long": "x" * 300,
        }), told(trace_metadata={"mlflow.trace.tokenUsage": '{"input_tokens": 9}', "late": "1"}),
        export(span(own=2, parent=1)),
    ],
    "nothing but what is needed": [
        told(tags={}, trace_metadata={}, request_preview=..., response_preview=..., execution_duration=...),
        told(2, client_request_id="c", tags={"k" * 250: "v" * 8000}),
    ],
}  # fmt: skip


@pytest.mark.parametrize("case", WRITTEN)
def test_what_clients_send_of_traces_is_answered_fast_and_written_and_read_as_by_stock(both: Both, case: str) -> None:
    requests = [*WRITTEN[case], *asked(1, 2)]
    before = fast(both)
    agree(both, requests)
    after = fast(both)
    for name, path in (("export-spans", "/v1/traces"), ("start-trace", INFO)):
        sent_ = sum(request.target == path for request in requests)
        assert after.get(name, 0) - before.get(name, 0) == sent_, f"of {name}, not all were answered fast"
    assert after["search-traces"] - before.get("search-traces", 0) == 4
