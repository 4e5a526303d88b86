"""What is odd about traces, sent or asked, gets stock MLflow's answers and leaves its rows."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.differential.both import Both
from tests.differential.spans import (
    INFO,
    INPUTS,
    NOW,
    OUTPUTS,
    UNKNOWN,
    agree,
    asked,
    body,
    export,
    search,
    sent,
    span,
    told,
    trace,
)
from tests.differential.wire import Request

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

USAGE = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
PREVIEWS: Sequence[Any] = (
    {"messages": [{"role": "user", "content": "\0"}]}, '{"model": "\\ud800"}', "[" * 3000, "1" * 5000,
    {"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]}, {"request": {"input": [1]}},
    {"messages": [{"role": "user", "content": ""}]}, {"input": [{"role": "a", "content": "b"}]}, "", None, 0,
    {"output": [{"role": "assistant", "content": ["c"]}]}, {"choices": [{"message": {"role": "x"}}]}, [], {},
)  # fmt: skip
ASKED: Sequence[dict[str, Any]] = (
    {"trace_ids": []}, {}, {"trace_ids": [trace(9), trace(2), "x"]}, {"trace_ids": [trace(2), trace(1), trace(2)]},
    {"trace_ids": trace(1)}, {"trace_ids": [trace(3), trace(9), trace(1)]},
    {"trace_ids": [trace(1)], "experiment_ids": ["0"]},
)  # fmt: skip
USUAL = ("x-mlflow-experiment-id", "@E0@")
ODD: Mapping[str, Sequence[Request]] = {
    "no experiment": [sent(body(span())), sent(body(span()), ("x-mlflow-experiment-id", "")), export(span(),
    experiment="77777")],
    "no number": [export(span(), experiment=odd) for odd in ("x", "01", "-1", "1.0", "99999999999", "0 ")],
    "the experiment is deleted": [
        Request("POST", "/api/2.0/mlflow/experiments/delete", b'{"experiment_id":"@E0@"}'),
        export(span()), told(), export(span(), experiment="0"),
    ],
    "encodings": [
        sent(gzip.compress(body(span()), mtime=0), USUAL, ("content-encoding", "gzip")),
        sent(body(span(2)), USUAL, ("content-encoding", "gzip")),
        sent(gzip.compress(body(span(3)), mtime=0)[:-3], USUAL, ("content-encoding", "gzip")),
        sent(gzip.compress(body(span(4)), mtime=0) + b"x", USUAL, ("content-encoding", "gzip")),
        sent(gzip.compress(body(span(5)), mtime=0), USUAL, ("content-encoding", "deflate")),
        sent(body(span(6)), USUAL, ("content-encoding", "identity")),
    ],
    "types": [
        sent(body(span()), USUAL, kind=("content-type", kind))
        for kind in ("application/json", "application/x-protobuf; a=b", "text/plain", "APPLICATION/X-PROTOBUF", "")
    ],
    "bodies": [
        sent(odd, USUAL)
        for odd in (b"", b"\xff", b"{}", body(), body(span())[:-1], body(span()) + b"\0", b"\n\x02\xff\xff")
    ],
    "not UTF-8": [sent(body(span(name="marker")).replace(b"marker", b"m\xff\xfe\xfder"), USUAL)],
    "a run": [export(span()), sent(body(span(2)), USUAL, ("x-mlflow-run-id", "@R0@")), told(2)],
    "ids": [
        export({**span(), name: odd})
        for name in ("trace_id", "span_id", "parent_span_id")
        for odd in (b"", b"\0" * 8, b"\0" * 16, b"\1", b"\1" * 17)
    ],
    "times": [
        export(span(number, start_time_unix_nano=start, end_time_unix_nano=end))
        for number, (start, end) in enumerate([(NOW, 0), (0, NOW), (0, 0), (NOW, NOW - 1), (2**63, 2**63), (NOW,
        NOW)], 1)
    ],
    "two roots": [export(span(attributes={INPUTS: 1}), span(own=2, attributes={OUTPUTS: 2}, status=(2, "")))],
    "twice the same span": [export(span(), span(name="b"))],
    "links": [export(span(links=[b"\1" * 16]))],
    "conventions": [
        export(span(number, attributes={**UNKNOWN, key: value}, events=[("gen_ai.user.message", NOW,
        {"content": "x"})]))
        for number, (key, value) in enumerate({
            "gen_ai.operation.name": "chat", "openinference.span.kind": "LLM", "input.value": "x", "output": "y",
            "input": "z", "mlflow.chat.tokenUsage": USAGE, "mlflow.llm.cost": {"total_cost": 0.5}, "user.id": "u",
            "session.id": "s", "mlflow.traceTag.a": "b", "mlflow.traceTag.mlflow.traceName": "n", "span.type": "tool",
            "gen_ai.usage.input_tokens": 3, "ai.operationId": "ai.toolCall", "lk.agent_name": "a", "mlflow.odd": 1,
        }.items(), 1)
    ],
    "types of spans": [export(span(number, attributes={"mlflow.spanType": odd})) for number, odd in enumerate(
        ["x" * 500, "x" * 501, 1, None, {"a": 1}, "", "\0"], 1)],
    "names": [export(span(number, name=odd)) for number, odd in enumerate(["", "ü\u2028" * 5000, "\0"], 1)],
    "previews": [
        export(span(number, attributes={INPUTS: odd, OUTPUTS: odd})) for number, odd in enumerate(PREVIEWS, 1)
    ],
    "resources": [
        export(span(number), resource={key: odd}) for number, (key, odd) in enumerate([
            ("service.name", "claude-code"), ("service.name", 1.5), ("bad*", "x"), ("", "x"), ("a/../b", "x"),
            ("long", "x" * 8001), ("list", ["a", 1]), ("none", None), ("zero", "\0"), ("tree", {"a": 1}), ("b", b"x"),
        ], 1)
    ],
    "a large body": [export(*[span(own=own, parent=1, attributes={"x": "y" * 2000}) for own in range(2, 202)])],
    "another place for spans": [
        export(span()),
        Request("PATCH", f"{INFO}/{trace(1)}/tags", b'{"key":"mlflow.trace.spansLocation","value":"ARCHIVE_REPO"}'),
        export(span(own=2, parent=1)), told(),
    ],
    "assessments": [
        export(span()), told(),
        Request("POST", f"{INFO}/{trace(1)}/assessments", json.dumps({"assessment": {
            "assessment_name": "good", "source": {"source_type": "HUMAN", "source_id": "me"},
            "feedback": {"value": True}, "trace_id": trace(1), "create_time": "2023-11-14T22:13:20Z",
            "last_update_time": "2023-11-14T22:13:20Z",
        }}).encode()),
        export(span(own=2, parent=1, start_time_unix_nano=NOW - 10**9)), told(2),
    ],
    "infos": [
        told(1 + number, **{name: odd}) for number, (name, odd) in enumerate([
            ("trace_id", "tr-1"), ("trace_id", ...), ("trace_location", {}), ("trace_location", ...), ("request_time",
            ...),
            ("request_time", "2023-11-14T22:13:20.123456Z"), ("request_time", "yesterday"), ("request_time", 5),
            ("request_time", "2023-02-30T22:13:20Z"), ("execution_duration", "-1s"), ("execution_duration", "1.5s"),
            ("execution_duration", "0.000001s"), ("state", "NOPE"), ("state", 1), ("state", ...), ("tags", {"a": 1}),
            ("state", "STATE_UNSPECIFIED"), ("tags", {"a": "x" * 8001}), ("tags", {"k" * 251: "v"}), ("tags",
            {"": "v"}),
            ("tags", {"mlflow.artifactLocation": "s3://x"}), ("tags", {"mlflow.trace.spansLocation": "TRACKING_STORE"}),
            ("tags", {"mlflow.traceName": "n" * 4097}), ("tags", {"mlflow.traceName": ""}), ("tags", {"zero": "\0"}),
            ("trace_metadata", {"mlflow.trace.infoFinalized": "no"}), ("trace_metadata",
            {"mlflow.trace.session": "x" * 251}),
            ("trace_metadata", {"mlflow.trace.tokenUsage": '{"input_tokens": 1.5, "total_tokens": "7", "x": 1}'}),
            ("trace_metadata", {"mlflow.trace.cost": '{"total_cost": NaN, "input_cost": 1}'}),
            ("trace_metadata", {"mlflow.trace.cost": "[]", "mlflow.trace.tokenUsage": "{"}), ("trace_metadata", None),
            ("request_preview", "x" * 1001), ("client_request_id", "x" * 51), ("client_request_id", "\0"), ("unknown",
            1),
            ("requestPreview", "camel"), ("assessments", []), ("request_preview", None), ("response_preview", 1),
        ], 1)
    ],
    "searches": [
        export(span(1)), export(span(2), resource={"k": "v"}), export(span(3, status=(2, ""))), told(3, state="ERROR"),
        *[search(filter=text) for text in (
            "status = 'ERROR'", "tags.k = 'v'", "timestamp_ms > 5", "timestamp_ms < 5", "execution_time_ms > 1.5", "x",
            "name = 'f'", "metadata.`mlflow.source.name` = 'x.py'", "span.name LIKE 'span%'",
            "trace.text ILIKE '%SPAN%'",
            "feedback.a = 'x'", "tags.k IS NULL", "run_id = 'x'", "end_time_ms > 7", "prompt = 'a/1'", "status = 'ü'",
        )],
        *[search(order_by=order) for order in (
            ["timestamp_ms DESC"], ["status ASC", "timestamp_ms"], ["tags.k DESC"], ["x"], [""], ["timestamp_ms",
            "timestamp_ms"],
        )],
        search(max_results=2), search(max_results=2, page_token="@T0@"), search(max_results=501), search(max_results=0),
        search(max_results="2"), search(page_token="x"), search(locations=[]), search(locations=[{}]), search(more=1),
        search(locations=[{"mlflow_experiment": {"experiment_id": "@E0@"}}]), search(filter=1),
        search(experiment_ids=["0"]),
        search(locations=[{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "a.b"}}]),
        Request("POST", "/ajax-api/3.0/mlflow/traces/search", search().body),
        *[Request("GET", f"{INFO}/{rest}", None, ()) for rest in (
            trace(1), trace(9), "x", f"{trace(1)}?trace_id={trace(2)}", f"{trace(1)}?x=1", "batchGetInfos", "get",
            "batchGet",
            "batchGet?trace_ids=", f"batchGet?trace_ids={trace(2)}&trace_ids={trace(1)}&trace_ids={trace(2)}",
            f"batchGet?trace_ids={trace(2)}&trace_ids={trace(9)}&trace_ids={trace(1)}", f"get?trace_id={trace(9)}",
            f"batchGet?trace_ids={trace(1)}&experiment_ids=0", f"get?trace_id={trace(1)}&allow_partial=x",
            f"get?trace_id={trace(3)}&allow_partial=FALSE", f"get?trace_id={trace(1)}&trace_id={trace(2)}",
            "get?trace_id=",
        )],
        *[Request("POST", f"{INFO}/batchGetInfos", json.dumps(odd).encode()) for odd in ASKED],
    ],
}  # fmt: skip


@pytest.mark.parametrize("case", ODD)
def test_what_is_odd_about_traces_gets_stocks_answers_and_leaves_stocks_rows(both: Both, case: str) -> None:
    agree(both, [*ODD[case], *asked(1)])
