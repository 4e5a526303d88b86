"""Real clients trace against stock MLflow and Homeport, and many requests come at once: the same is stored and read."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from tests.differential.both import Both, One
from tests.differential.spans import asked, export, span, told
from tests.differential.wire import Request
from tests.programs.database.programs import environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CONNECTIONS = 8
ROUTES = {"export-spans", "start-trace", "search-traces", "get-trace-info", "get-trace", "get-traces"}
_COUNTER = re.compile(r'^homeport_tracking_requests_total\{outcome="(.*?)",route="(.*?)"\} ([0-9.e+]+)$', re.MULTILINE)
CLIENT = """
import json, mlflow, sys
mlflow.set_experiment("traced")

@mlflow.trace(span_type="TOOL", attributes={"unit": "K", "n": 1.5})
def tool(number):
    if number == 13:
        raise ValueError("unlucky ü")
    return {"number": number, "list": [number, None, True]}

@mlflow.trace
def agent(question, model="m-1"):
    for number in range(19):
        try:
            tool(number)
        except ValueError:
            pass
    mlflow.update_current_trace(tags={"team": "a"}, session_id="s1", user="u1")
    return {"choices": [{"message": {"role": "assistant", "content": "42"}}]}

agent("why?")
mlflow.flush_trace_async_logging()
(found,) = mlflow.search_traces(return_type="list")
again = mlflow.get_trace(found.info.trace_id)
assert [span.to_dict() for span in again.data.spans] == [span.to_dict() for span in found.data.spans]
names = {span.span_id: span.name for span in found.data.spans}

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

for compression in Compression.NoCompression, Compression.Gzip:
    experiment = mlflow.set_experiment(f"otel {compression.value}").experiment_id
    provider = TracerProvider(resource=Resource.create({"service.name": "shop", "service.instance.id": "1"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(
        f"{sys.argv[1]}/v1/traces", headers={"x-mlflow-experiment-id": experiment}, compression=compression)))
    tracer = provider.get_tracer("shop", "1.0")
    for number in range(3):
        with tracer.start_as_current_span("order", attributes={"http.request.method": "GET", "items": [1, 2]}) as order:
            order.add_event("paid", {"amount": number})
            with tracer.start_as_current_span("ship"):
                pass
    provider.shutdown()
others = mlflow.search_traces(experiment_ids=[e.experiment_id for e in mlflow.search_experiments()], return_type="list")
print(json.dumps([[
    trace.info.state, trace.info.request_preview, trace.info.response_preview, sorted(trace.info.trace_metadata),
    {key: value for key, value in trace.info.tags.items() if key != "mlflow.artifactLocation"},
    sorted(([span.name, names.get(span.parent_id), span.span_type, str(span.status.status_code), span.inputs,
             span.outputs, len(span.events), sorted(span.attributes)] for span in trace.data.spans), key=json.dumps),
] for trace in sorted(others, key=lambda trace: trace.info.timestamp_ms)], default=str, sort_keys=True))
"""


def counted(both: Both) -> Counter[tuple[str, str]]:
    """(route, outcome) -> how many requests about traces."""
    page = both.homeport.wire.ask(Request("GET", "/metrics", None, ())).body.decode()
    found = {(route, outcome): int(float(count)) for outcome, route, count in _COUNTER.findall(page)}
    return Counter({key: count for key, count in found.items() if key[0] in ROUTES})


def traced(one: One) -> Any:
    """What a client reads of what it traced."""
    url = one.side.url
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, url],
        env=environment({"MLFLOW_TRACKING_URI": url, "GIT_PYTHON_REFRESH": "quiet"}),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_what_mlflows_client_and_an_exporter_of_opentelemetry_trace_is_answered_fast_and_read_as_from_stock(
    both: Both,
) -> None:
    both.begin()
    before = counted(both)
    ours = traced(both.homeport)
    answered = counted(both) - before
    assert ours == traced(both.stock)
    assert [len(trace[-1]) for trace in ours] == [20, *[2] * 6]
    assert sum(span[3].endswith("ERROR") for span in ours[0][-1]) == 1
    assert answered.keys() == {(route, "fast") for route in ROUTES}


def test_spans_of_the_same_traces_sent_at_once_are_all_stored_and_the_traces_cover_them(both: Both) -> None:
    both.begin()
    assert not (found := both.difference(told())), found
    requests = [
        export(span(1 + number % 3, 100 + number, 50), span(4 + number % 2, 100 + number, 50 if number > 1 else 0))
        for number in range(48)
    ]
    stock, ours = both.burst(requests, CONNECTIONS)
    assert ours == stock == [200] * len(requests)
    more = [told(number, request_time="2023-11-14T22:13:21Z") for number in range(4, 24)]
    stock, ours = both.burst(more, CONNECTIONS)
    assert ours == stock == [200] * len(more)
    differences = [difference for request in asked(1, 4, 9) if (difference := both.difference(request))]
    assert not differences, "\n".join(differences)
    assert not (rows := both.rows_differ()), rows
