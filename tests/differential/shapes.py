"""Every hot call as data: its path, its fields, and texts of JSON that a field rightly holds.

Odd ones stand in `values.py`. Refuses to know servers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from tests.differential.wire import Request


@dataclass(frozen=True)
class Shape:
    """One call.

    Args:
        route: its name in the front's counters; empty where it need not be fast.
        method: in upper case.
        path: under /api/2.0/mlflow/, or whole where it begins with a slash.
        fields: name -> right values; the first alone makes a right call.
        wrap: where the fields stand in the body.
    """

    route: str
    method: str
    path: str
    fields: dict[str, tuple[str, ...]]
    wrap: str = "{}"

    @property
    def target(self) -> str:
        return self.path if self.path.startswith("/") else f"/api/2.0/mlflow/{self.path}"

    def request(self, values: Iterable[tuple[str, str]], target: str | None = None) -> Request:
        """The call with these fields."""
        target = target or self.target
        if self.method == "GET":
            query = "&".join(f"{name}={value}" for name, value in values)
            return Request("GET", f"{target}?{query}" if query else target, None, ())
        inner = "{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in values) + "}"
        return Request(self.method, target, self.wrap.replace("{}", inner, 1).encode("utf-8", "surrogatepass"))

    @property
    def right(self) -> list[tuple[str, str]]:
        return [(name, values[0]) for name, values in self.fields.items()]


RUN = ('"@R0@"', '"@R1@"', '"@R2@"')
KEY = ('"m"', '"loss"', '"a/b"', '"k.1"', '"é"')
MOMENT = ("1600000000000", '"1600000000001"', "5", "1600000000000.0")
TAGS = (
    '[{"key":"t","value":"1"}]', "[]", '[{"key":"mlflow.runName","value":"named by tag"}]', '[{"key":"x"}]',
    '[{"key":"t","value":"1"},{"key":"t","value":"2"}]', '[{"key":"mlflow.user","value":"me"},{"key":"a","value":""}]',
    '[{"key":"mlflow.parentRunId","value":"@R0@"}]', '[{"value":"no key"}]', '[{"key":"","value":"v"}]',
)  # fmt: skip
NAMED = ('"named @S0@"', '"run a"', '"run b"', '""', '"rün 😀"')

CREATE_RUN = Shape(
    "create-run", "POST", "runs/create",
    {
        "experiment_id": ('"@E0@"', '"@E1@"', '"0"', '"999999"'), "start_time": ("@C0@",), "run_name": NAMED,
        "tags": TAGS, "user_id": ('"me"', '""', '"ünï"'),
    },
)  # fmt: skip
UPDATE_RUN = Shape(
    "update-run", "POST", "runs/update",
    {
        "run_id": RUN, "status": ('"FINISHED"', '"FAILED"', '"KILLED"', '"RUNNING"', '"SCHEDULED"', "3", '"finished"'),
        "end_time": MOMENT, "run_name": NAMED, "run_uuid": RUN,
    },
)  # fmt: skip
LOG_METRIC = Shape(
    "log-metric", "POST", "runs/log-metric",
    {
        "run_id": RUN, "key": KEY, "value": ("1.5", "0", "-0.0", '"NaN"', '"Infinity"', "NaN", "2", "1e308"),
        "timestamp": MOMENT, "step": ("0", "1", "-1", '"2"', "3.0"), "run_uuid": RUN, "model_id": ('"@M0@"', '""'),
        "dataset_name": ('"d"',), "dataset_digest": ('"x"',),
    },
)  # fmt: skip
LOG_PARAM = Shape(
    "log-parameter",
    "POST",
    "runs/log-parameter",
    {"run_id": RUN, "key": ('"p"', '"q"', '"a/b"'), "value": ('"1"', '"2"', '""', '"ü"'), "run_uuid": RUN},
)
SET_TAG = Shape(
    "set-tag", "POST", "runs/set-tag",
    {
        "run_id": RUN, "key": ('"t"', '"u"', '"mlflow.runName"', '"mlflow.note.content"'),
        "value": ('"1"', '"two"', '""', '"run c"'), "run_uuid": RUN,
    },
)  # fmt: skip
DELETE_TAG = Shape(
    "delete-tag", "POST", "runs/delete-tag", {"run_id": RUN, "key": ('"t"', '"u"', '"mlflow.runName"', '"no such"')}
)
DELETE_RUN = Shape("delete-run", "POST", "runs/delete", {"run_id": RUN})
RESTORE_RUN = Shape("restore-run", "POST", "runs/restore", {"run_id": RUN})
_BATCH = '{"run_id":"@R0@","%s":[{}]}'
BATCH_METRIC = Shape(
    "log-batch", "POST", "runs/log-batch",
    {name: LOG_METRIC.fields[name] for name in ("key", "value", "timestamp", "step")}
    | {"model_id": ('""', '"@M0@"'), "dataset_name": ('"d"',), "dataset_digest": ('"x"',), "run_id": RUN},
    _BATCH % "metrics",
)  # fmt: skip
BATCH_PARAM = Shape(
    "log-batch", "POST", "runs/log-batch", {"key": ('"p"', '"q"'), "value": ('"1"', '"2"', '""')}, _BATCH % "params"
)
BATCH_TAG = Shape(
    "log-batch", "POST", "runs/log-batch", {"key": ('"t"', '"mlflow.runName"'), "value": ('"1"', '""')}, _BATCH % "tags"
)
LOG_BATCH = Shape(
    "log-batch", "POST", "runs/log-batch",
    {
        "run_id": RUN,
        "metrics": (
            '[{"key":"m","value":1,"timestamp":5,"step":0}]', "[]",

                       '[{"key":"m","value":1,"timestamp":5},{"key":"m","value":2,"timestamp":5},{"key":"n","value":"NaN","timestamp":6,"step":3}]',
            '[{"key":"m","value":1,"timestamp":5},{"key":"m","value":1,"timestamp":5}]',
            '[{"key":"m","value":1,"timestamp":5},{"key":"bad*","value":1,"timestamp":5}]',
            '[{"key":"m","value":3,"timestamp":7,"step":9},{"key":"m","value":2,"timestamp":8,"step":-1}]',
        ),
        "params": (
            '[{"key":"p","value":"1"}]', "[]", '[{"key":"p","value":"1"},{"key":"p","value":"1"}]',
            '[{"key":"p","value":"1"},{"key":"p","value":"2"}]', '[{"key":"q","value":"x"},{"key":"r","value":""}]',
        ),
        "tags": TAGS,
    },
)  # fmt: skip
_DATASET = '{"tags":[{"key":"mlflow.data.context","value":"train"}],"dataset":%s}'
LOG_INPUTS = Shape(
    "log-inputs", "POST", "runs/log-inputs",
    {
        "run_id": RUN,
        "datasets": (
            "[" + _DATASET % '{"name":"d","digest":"x","source_type":"local","source":"s"}' + "]", "[]",
            "[" + _DATASET % '{"name":"d","digest":"x","source_type":"http","source":"other","schema":"{}"}' + "]",
            '[{"dataset":{"name":"e","digest":"y","source_type":"local","source":"s","profile":"{}"}}]',
            '[{"dataset":{"name":"e"}}]', '[{"tags":[]}]',
        ),
        "models": ("[]", '[{"model_id":"@M0@"}]', '[{"model_id":"m-no"}]'),
    },
)  # fmt: skip
DATASET_INPUT = Shape(
    "log-inputs", "POST", "runs/log-inputs",
    {
        "name": ('"d"',), "digest": ('"x"',), "source_type": ('"local"',), "source": ('"s"',), "schema": ('"{}"',),
        "profile": ('"{}"',),
    },
    '{"run_id":"@R0@","datasets":[{"dataset":{}}]}',
)  # fmt: skip
LOG_OUTPUTS = Shape(
    "log-outputs", "POST", "runs/outputs",
    {"run_id": RUN, "models": ('[{"model_id":"@M0@","step":1}]', "[]", '[{"model_id":"m-no","step":"2"}]')},
)  # fmt: skip
CREATE_EXPERIMENT = Shape(
    "create-experiment", "POST", "experiments/create",
    {
        "name": ('"e @S0@ a"', '"e @S0@ b"', '"e @S0@ ü"', '"Default"', '""'), "tags": TAGS,
        "artifact_location": ('""', '"s3://bucket/@S0@"', '"file:///tmp/x"', '"mlflow-artifacts:/x#y"', '"../up"'),
    },
)  # fmt: skip
EXPERIMENT_TAG = Shape(
    "set-experiment-tag",
    "POST",
    "experiments/set-experiment-tag",
    {"experiment_id": ('"@E0@"', '"@E1@"', '"0"', '"99999"'), "key": ('"t"', '"u"'), "value": ('"1"', '"2"', '""')},
)
DELETE_EXPERIMENT = Shape("", "POST", "experiments/delete", {"experiment_id": ('"@E0@"', '"@E1@"')})
RESTORE_EXPERIMENT = Shape("", "POST", "experiments/restore", {"experiment_id": ('"@E0@"', '"@E1@"')})
UPDATE_EXPERIMENT = Shape(
    "", "POST", "experiments/update", {"experiment_id": ('"@E0@"', '"@E1@"'), "new_name": ('"e @S0@ n"', '"e @S0@ a"')}
)
CREATE_MODEL = Shape(
    "", "POST", "registered-models/create",
    {"name": ('"model @S0@"',), "tags": TAGS, "description": ('"d"', '""')},
)  # fmt: skip
CREATE_VERSION = Shape(
    "",
    "POST",
    "model-versions/create",
    {"name": ('"model @S0@"',), "source": ('"s3://b/m"',), "run_id": ('""', *RUN), "tags": TAGS},
)
SET_ALIAS = Shape(
    "", "POST", "registered-models/alias",
    {"name": ('"model @S0@"',), "alias": ('"champion"', '"b"', '"v1"', '"latest"'), "version": ('"1"', '"2"', "1")},
)  # fmt: skip
CREATE_LOGGED_MODEL = Shape(
    "",
    "POST",
    "logged-models",
    {"experiment_id": ('"@E0@"',), "name": ('"model"',), "source_run_id": RUN, "params": ("[]",), "tags": ("[]",)},
)

GET_RUN = Shape("get-run", "GET", "runs/get", {"run_id": ("@R0@", "@R1@", "@R2@"), "run_uuid": ("@R0@", "@R1@")})
GET_HISTORY = Shape(
    "get-history", "GET", "metrics/get-history",
    {
        "run_id": ("@R0@", "@R1@"), "metric_key": ("m", "loss", "a%2Fb", "none"),
        "max_results": ("2", "1", "25000", "0"),
        "page_token": ("", "@T0@", "abc"), "run_uuid": ("@R0@",),
    },
)  # fmt: skip
BULK = Shape(
    "get-history-bulk",
    "GET",
    "/ajax-api/2.0/mlflow/metrics/get-history-bulk",
    {
        "run_id": ("@R0@", "@R1@", "@R0@&run_id=@R1@"),
        "metric_key": ("m", "loss"),
        "max_results": ("100", "1", "0", "-1"),
    },
)
INTERVAL = Shape(
    "get-history-bulk-interval", "GET", "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval",
    {
        "run_ids": ("@R0@", "@R1@", "@R0@&run_ids=@R1@"), "metric_key": ("m", "loss"), "max_results": ("3",
        "1", "2500"),
        "start_step": ("0", "-5", "1"), "end_step": ("10", "1", "100"),
    },
)  # fmt: skip
GET_EXPERIMENT = Shape("get-experiment", "GET", "experiments/get", {"experiment_id": ("@E0@", "@E1@", "0", "99999")})
BY_NAME = Shape(
    "get-experiment-by-name", "GET", "experiments/get-by-name",
    {"experiment_name": ("Default", *(quote(f"e @S0@ {each}", safe="@") for each in "abn"), "e%20@S0@%20%C3%BC", "no")},
)  # fmt: skip
GET_ALIAS = Shape(
    "get-alias", "GET", "registered-models/alias",
    {"name": ("model%20@S0@", "no"), "alias": ("champion", "b", "latest", "no")},
)  # fmt: skip
GET_VERSION = Shape(
    "get-model-version", "GET", "model-versions/get", {"name": ("model%20@S0@", "no"), "version": ("1", "2", "x")}
)
SEARCH_RUNS = Shape(
    "search-runs", "POST", "runs/search",
    {
        "experiment_ids": ('["@E0@"]', '["@E0@","@E1@"]', "[]", '["0"]', '["x"]', '["@E0@","@E0@"]'),
        "filter": ('""',), "run_view_type": ('"ACTIVE_ONLY"', '"DELETED_ONLY"', '"ALL"', "1"),
        "max_results": ("1000", "1", "2", '"5"', "50000", "50001", "0", "-1"), "order_by": ("[]",),
        "page_token": ('""', '"@T0@"', '"@T1@"', '"broken"', '"eyJvZmZzZXQiOiAxfQ=="'),
    },
)  # fmt: skip
SEARCH_EXPERIMENTS = Shape(
    "search-experiments", "POST", "experiments/search",
    {
        "max_results": ("1000", "1", "2", "0", "50001", '"3"'), "filter": ('""', "\"name = 'e @S0@ a'\"",
        "\"tags.t = '1'\""),
        "view_type": ('"ACTIVE_ONLY"', '"DELETED_ONLY"', '"ALL"', "2"), "page_token": ('""', '"@T0@"', '"broken"'),
        "order_by": ("[]", '["name"]', '["name DESC"]', '["experiment_id"]', '["creation_time DESC"]', '["nope"]'),
    },
)  # fmt: skip

WRITES: Sequence[Shape] = (
    CREATE_RUN, UPDATE_RUN, LOG_METRIC, LOG_PARAM, SET_TAG, DELETE_TAG, DELETE_RUN, RESTORE_RUN, LOG_BATCH,
    BATCH_METRIC,
    BATCH_PARAM, BATCH_TAG, LOG_INPUTS, DATASET_INPUT, LOG_OUTPUTS, CREATE_EXPERIMENT, EXPERIMENT_TAG,
)  # fmt: skip
READS: Sequence[Shape] = (
    GET_RUN, GET_HISTORY, BULK, INTERVAL, GET_EXPERIMENT, BY_NAME, GET_ALIAS, GET_VERSION, SEARCH_RUNS,
    SEARCH_EXPERIMENTS,
)  # fmt: skip
BESIDE: Sequence[Shape] = (
    DELETE_EXPERIMENT, RESTORE_EXPERIMENT, UPDATE_EXPERIMENT, CREATE_MODEL, CREATE_VERSION, SET_ALIAS,
    CREATE_LOGGED_MODEL,
)  # fmt: skip
PLAIN = (
    Request("GET", "/health", None, ()), Request("GET", "/version", None, ()),
    Request("GET", "/api/3.0/mlflow/server-info", None, ()), Request("GET",
    "/ajax-api/3.0/mlflow/server-info", None, ()),
)  # fmt: skip
