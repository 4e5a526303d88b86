"""What real clients send is answered in the fast lane itself, not by MLflow: the front's counters say so."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.differential import shapes
from tests.differential.both import Both
from tests.differential.registry_shapes import REGISTRY
from tests.differential.shapes import Shape
from tests.differential.wire import Request

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

TIMES = 5
_COUNTER = re.compile(r"^homeport_tracking_requests_total\{(.*?)\} ([0-9.e+]+)$", re.MULTILINE)


def fast(both: Both) -> dict[str, float]:
    """Route -> how many of its requests were answered fast."""
    page = both.homeport.wire.ask(Request("GET", "/metrics", None, ()))
    assert page.status == 200
    found = {}
    for labels, value in _COUNTER.findall(page.body.decode()):
        label = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        if label["outcome"] == "fast":
            found[label["route"]] = float(value)
    return found


def as_client(shape: Shape, **fields: str) -> Request:
    """A body as MLflow's own client, the page and plain REST calls make it."""
    return shape.request(fields.items())


def read(target: str) -> Request:
    return Request("GET", f"/api/2.0/mlflow/{target}", None, ())


RUN = '"@R0@"'
SENT: dict[str, list[Request]] = {
    "create-run": [
        as_client(shapes.CREATE_RUN, experiment_id='"@E0@"', user_id='"me"', start_time="@C0@", tags=shapes.TAGS[0],
                  run_name='"a run"'),
        as_client(shapes.CREATE_RUN, experiment_id='"@E0@"', start_time='"@C0@"'),
    ],
    "update-run": [
        as_client(shapes.UPDATE_RUN, run_uuid=RUN, run_id=RUN, status='"FINISHED"', end_time="1600000000000"),
        as_client(shapes.UPDATE_RUN, run_id=RUN, run_name='"renamed"'),
    ],
    "log-metric": [
        as_client(shapes.LOG_METRIC, run_uuid=RUN, run_id=RUN, key='"m"', value="1.5", timestamp="5", step="0"),
        as_client(shapes.LOG_METRIC, run_uuid=RUN, run_id=RUN, key='"m"', value='"NaN"', timestamp="6", step="1"),
        as_client(shapes.LOG_METRIC, run_id=RUN, key='"m"', value="1", timestamp='"7"', step='"2"'),
        as_client(shapes.LOG_METRIC, run_id=RUN, key='"train/loss"', value='"-Infinity"', timestamp="8"),
    ],
    "log-batch": [as_client(shapes.LOG_BATCH, run_id=RUN, metrics=shapes.LOG_BATCH.fields["metrics"][2],
                            params='[{"key":"p","value":"1"}]', tags=shapes.TAGS[0])],
    "log-parameter": [as_client(shapes.LOG_PARAM, run_uuid=RUN, run_id=RUN, key='"p"', value='"1"')],
    "set-tag": [as_client(shapes.SET_TAG, run_uuid=RUN, run_id=RUN, key='"t"', value='"ü"')],
    "get-run": [read("runs/get?run_uuid=@R0@&run_id=@R0@"),
                Request("GET", "/ajax-api/2.0/mlflow/runs/get?run_id=@R0@", None, ())],
    "search-runs": [
        shapes.SEARCH_RUNS.request([("experiment_ids", '["@E0@"]'), ("filter", '""'), ("max_results", "1000")]),
        shapes.SEARCH_RUNS.request([
            ("experiment_ids", '["@E0@"]'), ("filter", "\"metrics.m > 0 AND tags.t = 'ü'\""), ("max_results", "100"),
            ("order_by", '["attributes.start_time DESC"]'), ("run_view_type", '"ACTIVE_ONLY"'),
        ]),
    ],
    "get-history": [read("metrics/get-history?run_id=@R0@&metric_key=m&max_results=25000")],
    "get-history-bulk": [
        shapes.BULK.request([("run_id", "@R0@&run_id=@R1@"), ("metric_key", "m"), ("max_results", "100")]),
    ],
    "get-history-bulk-interval": [
        shapes.INTERVAL.request([("run_ids", "@R0@&run_ids=@R1@"), ("metric_key", "m"), ("max_results", "320")]),
    ],
    "get-experiment": [read("experiments/get?experiment_id=@E0@")],
    "get-experiment-by-name": [read("experiments/get-by-name?experiment_name=Default")],
    "search-experiments": [shapes.SEARCH_EXPERIMENTS.request([("max_results", "25"), ("view_type", '"ACTIVE_ONLY"')])],
    "server-info": [Request("GET", "/api/3.0/mlflow/server-info", None, ())],
    "log-inputs": [shapes.LOG_INPUTS.request(shapes.LOG_INPUTS.right[:2])],
    "log-outputs": [shapes.LOG_OUTPUTS.request(shapes.LOG_OUTPUTS.right)],
}  # fmt: skip


@pytest.mark.parametrize("route", list(SENT))
def test_what_clients_send_is_answered_in_the_fast_lane(both: Both, route: str) -> None:
    both.begin()
    before = fast(both).get(route, 0.0)
    requests = SENT[route] * (1 if route == "log-outputs" else TIMES)  # the same output again is left to MLflow
    found = [difference for request in requests if (difference := both.difference(request))]
    assert not found, "\n".join(found)
    assert fast(both).get(route, 0.0) - before == len(requests)
    assert not (rows := both.rows_differ()), rows


def test_runs_and_tags_are_deleted_and_restored_in_the_fast_lane(both: Both) -> None:
    both.begin()
    before = fast(both)
    sent = [
        as_client(shapes.DELETE_TAG, run_id=RUN, key='"t"'), as_client(shapes.DELETE_RUN, run_id=RUN),
        as_client(shapes.RESTORE_RUN, run_id=RUN),
    ]  # fmt: skip
    found = [difference for request in sent if (difference := both.difference(request))]
    assert not found, "\n".join(found)
    after = fast(both)
    assert [after.get(name, 0) - before.get(name, 0) for name in ("delete-tag", "delete-run", "restore-run")] == [1] * 3


def test_models_versions_and_aliases_are_read_in_the_fast_lane(both: Both) -> None:
    both.begin()
    made = [shape.request(shape.right) for shape in (shapes.CREATE_MODEL, shapes.CREATE_VERSION, shapes.SET_ALIAS)]
    before = fast(both)
    shown = (shapes.GET_ALIAS, shapes.GET_VERSION, *REGISTRY)
    reads = [shape.request(shape.right) for shape in shown]
    found = [difference for request in (*made, *reads) if (difference := both.difference(request))]
    assert not found, "\n".join(found)
    after = fast(both)
    routes = Counter(shape.route for shape in shown)
    assert {route: after.get(route, 0) - before.get(route, 0) for route in routes} == routes
