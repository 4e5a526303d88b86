"""Two servers with logins on one database, one with the fast lane and one without, and what is asked of both."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.differential.spans import body, span
from tests.programs.database.programs import eventually
from tests.programs.tracking.guarded import ADMIN, SERVING, TRAINING, Guarded

API, GRANTS = "/api/2.0/mlflow", "/api/3.0/mlflow"
WORD = "a-user's-password"  # everybody's
OPEN, CLOSED = "open", "closed"  # the two experiments

# Who -> permission on the experiment CLOSED, and on kinds of resources. On OPEN everybody has the default.
PEOPLE: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "plain": ("", {}),
    "reader": ("READ", {}),
    "editor": ("EDIT", {}),
    "manager": ("MANAGE", {}),
    "user": ("USE", {}),
    "denied": ("DENY", {}),
    "runless": ("MANAGE", {"run": "DENY"}),
    "modelless": ("MANAGE", {"logged_model": "DENY"}),
    "writer": ("", {"experiment": "EDIT"}),
}


@dataclass(frozen=True)
class Things:
    """What one of the two servers is asked about: an experiment, a run with a logged model in it, and a bare run."""

    name: str
    experiment: str
    run: str
    model: str
    bare: str
    trace: str


@dataclass
class Pair:
    """The servers; `things` by server and experiment."""

    fast: Guarded
    slow: Guarded
    things: dict[tuple[str, str], Things] = field(default_factory=dict)

    def both(self, user: str, password: str, ask: Ask, which: str) -> tuple[Seen, Seen]:
        """What each answers to the same, its own run in place of the other's."""
        return tuple(
            seen(ask.put(side, user, password, self.things[name, which]), self.things[name, which])
            for name, side in (("fast", self.fast), ("slow", self.slow))
        )  # type: ignore[return-value]  # of two there are two

    def counted(self) -> dict[str, float]:
        """Hot calls that were answered by the front, by route."""
        text = self.fast.ask("GET", "/metrics").text
        found = re.findall(r'homeport_tracking_requests_total\{outcome="fast",route="([^"]+)"\} (\S+)', text)
        return {route: float(number) for route, number in found}


Seen = tuple[int, Any]


@dataclass(frozen=True)
class Ask:
    """One request; `path` and `values` may name parts of the things it is about."""

    route: str
    method: str
    path: str
    values: Mapping[str, Any]
    more: Mapping[str, Any] = field(default_factory=dict)

    def put(self, server: Guarded, user: str, password: str, things: Things) -> requests.Response:
        filled, more = fill(self.values, things), dict(self.more)
        put = {"params": filled} if self.method == "GET" else {"json": filled}
        if "headers" in more:
            more["headers"] = fill(more["headers"], things)
        return server.ask(self.method, fill(self.path, things), user, password, **put, **more)


def fill(value: Any, things: Things) -> Any:
    """With `{run}` and the like replaced."""
    if isinstance(value, str):
        return value.format(**vars(things))
    if isinstance(value, Mapping):
        return {key: fill(each, things) for key, each in value.items()}
    return [fill(each, things) for each in value] if isinstance(value, list) else value


def seen(response: requests.Response, things: Things) -> Seen:
    """Status and body, whatever is made anew each time taken out."""
    try:
        return response.status_code, _plain(response.json(), things)
    except requests.JSONDecodeError:
        return response.status_code, response.text


def _plain(value: Any, things: Things) -> Any:
    if isinstance(value, dict):
        told = {key: each for key, each in value.items() if not key.endswith(("_time", "timestamp", "timestamp_ms"))}
        if told.get("experiment_id") == things.experiment:
            told["experiment_id"] = "EXPERIMENT"
        return {key: _plain(each, things) for key, each in told.items()}
    if isinstance(value, list):
        return [_plain(each, things) for each in value]
    if isinstance(value, str):
        value = value.replace(things.model, "MODEL").replace(things.name, "NAME")
        value = value.replace(f"mlflow-artifacts:/{things.experiment}", "mlflow-artifacts:/EXPERIMENT")
        return re.sub(r"[0-9a-f]{32}|[A-Za-z0-9+/]{22}==", "ID", value)  # the latter in a span
    return value


@contextmanager
def pair(uri: str, room: Path, default: str, **more: str) -> Iterator[Pair]:
    """Both, with people and things in them."""
    room.mkdir(parents=True, exist_ok=True)
    settings = room / "own.ini"
    settings.write_text(f"[mlflow]\ndefault_permission = {default}\nauth_cache_ttl_seconds = 60\n")
    # A host that is not the one upstream makes up for itself: what is asked has to say for which host it is.
    env = {"MLFLOW_AUTH_CONFIG_PATH": str(settings), "MLFLOW_SERVER_ALLOWED_HOSTS": "127.0.0.1:*", **more}
    fast = Guarded(uri, room / "fast", **env)
    slow = Guarded(uri, room / "slow", HOMEPORT_FASTLANE="off", HOMEPORT_WORKERS="1", **env)
    try:
        made = Pair(fast.start(), slow.start())
        eventually(lambda: fast.ask("GET", "/ready").json()["fast_lane"]["on"], 30)
        assert not slow.ask("GET", "/ready").json()["fast_lane"]["on"]
        _furnish(made, people=more.get("HOMEPORT_AUTH") != "off")
        yield made
    finally:
        fast.stop()
        slow.stop()


def _furnish(made: Pair, *, people: bool) -> None:
    for name, side in (("fast", made.fast), ("slow", made.slow)):
        for which in (OPEN, CLOSED):
            made.things[name, which] = _things(side, f"{name}-{which}")
    for person, (permission, kinds) in PEOPLE.items() if people else ():
        made.slow.make_user(person, WORD)
        for name in ("fast", "slow"):
            if permission:
                grant(made.slow, person, made.things[name, CLOSED].experiment, permission)
        if kinds:
            role = yes(made.slow, "POST", f"{GRANTS}/roles/create", {"name": f"of-{person}", "workspace": "default"})
            number = role["role"]["id"]
            for kind, permitted in kinds.items():
                pattern = {"resource_type": kind, "resource_pattern": "*", "permission": permitted}
                yes(made.slow, "POST", f"{GRANTS}/roles/permissions/add", {"role_id": number, **pattern})
            yes(made.slow, "POST", f"{GRANTS}/roles/assign", {"username": person, "role_id": number})


def _things(side: Guarded, name: str) -> Things:
    experiment = yes(side, "POST", f"{API}/experiments/create", {"name": name})["experiment_id"]
    started = {"experiment_id": experiment, "start_time": 1, "run_name": "a run"}
    run = yes(side, "POST", f"{API}/runs/create", started)["run"]["info"]["run_id"]
    values = {"experiment_id": experiment, "name": "logged", "source_run_id": run}
    model = yes(side, "POST", f"{API}/logged-models", values)["model"]["info"]["model_id"]
    metric = {"key": "m", "value": 1.5, "timestamp": 1, "step": 1}
    yes(side, "POST", f"{API}/runs/log-metric", {"run_id": run, **metric})
    yes(side, "POST", f"{API}/runs/log-metric", {"run_id": run, "model_id": model, **metric, "key": "of-model"})
    yes(side, "POST", f"{API}/runs/outputs", {"run_id": run, "models": [{"model_id": model, "step": 1}]})
    yes(side, "POST", f"{API}/registered-models/create", {"name": name})
    version = {"name": name, "source": f"models:/{model}", "run_id": run, "model_id": model}
    yes(side, "POST", f"{API}/model-versions/create", version)
    yes(side, "POST", f"{API}/registered-models/alias", {"name": name, "alias": "champion", "version": "1"})
    later = {**started, "start_time": 2}  # of two runs of one moment, random ids would decide which is told first
    bare = yes(side, "POST", f"{API}/runs/create", later)["run"]["info"]["run_id"]
    number = uuid.uuid4()
    things = Things(name, experiment, run, model, bare, f"tr-{number.hex}")
    sent = side.ask("POST", "/v1/traces", ADMIN, data=body(span(number.int)), **fill(_SPANS, things))
    assert sent.status_code == 200, sent.text
    yes(side, "POST", f"{GRANTS}/traces", fill(_TRACE, things))
    return things


def grant(server: Guarded, user: str, experiment: str, permission: str) -> None:
    """Give a user a permission on an experiment."""
    what = {"username": user, "resource_type": "experiment", "resource_id": experiment, "permission": permission}
    yes(server, "POST", f"{GRANTS}/users/permissions/grant", what)


def revoke(server: Guarded, user: str, experiment: str) -> None:
    """Take it away."""
    what = {"username": user, "resource_type": "experiment", "resource_id": experiment}
    yes(server, "POST", f"{GRANTS}/users/permissions/revoke", what)


def yes(server: Guarded, method: str, path: str, values: Mapping[str, Any]) -> Any:
    """What the administrator is answered."""
    answer = server.ask(method, path, ADMIN, json=values)
    assert answer.status_code == 200, (path, answer.text)
    return answer.json()


_METRIC = {"key": "m", "value": 2.5, "timestamp": 2, "step": 2}
_RUN = {"run_id": "{run}"}
_MODEL = f"{API}/logged-models/{{model}}"
_TRACE: Mapping[str, Any] = {"trace": {"trace_info": {
    "trace_id": "{trace}", "request_time": "2026-01-01T00:00:00Z", "state": "OK",
    "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "{experiment}"}},
}}}  # fmt: skip
_PLACE = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "{experiment}"}}
_SPANS = {"headers": {"content-type": "application/x-protobuf", "x-mlflow-experiment-id": "{experiment}"}}
_DATASET = {"name": "d", "digest": "1", "source_type": "s", "source": "x"}
# Every hot call, as clients put it; what one does another undoes.
ASKS = (
    Ask("get-run", "GET", f"{API}/runs/get", _RUN),
    Ask("get-run", "GET", "/ajax-api/2.0/mlflow/runs/get", {"run_id": "{run}", "run_uuid": "{run}"}),
    Ask("get-run", "GET", f"{API}/runs/get", {"run_id": "{bare}"}),
    Ask("log-outputs", "POST", f"{API}/runs/outputs",
        {"run_id": "{bare}", "models": [{"model_id": "{model}", "step": 1}]}),
    Ask("log-metric", "POST", f"{API}/runs/log-metric", {**_RUN, "run_uuid": "{run}", **_METRIC}),
    Ask("log-metric", "POST", f"{API}/runs/log-metric", {**_RUN, "model_id": "{model}", **_METRIC}),
    Ask("log-batch", "POST", f"{API}/runs/log-batch", {**_RUN, "metrics": [{**_METRIC, "key": "b"}], "tags": []}),
    Ask("log-batch", "POST", f"{API}/runs/log-batch", {**_RUN, "metrics": [{**_METRIC, "model_id": "{model}"}]}),
    Ask("log-parameter", "POST", f"{API}/runs/log-parameter", {**_RUN, "key": "p", "value": "1"}),
    Ask("set-tag", "POST", f"{API}/runs/set-tag", {**_RUN, "key": "t", "value": "1"}),
    Ask("delete-tag", "POST", f"{API}/runs/delete-tag", {**_RUN, "key": "t"}),
    Ask("update-run", "POST", f"{API}/runs/update", {**_RUN, "status": "RUNNING"}),
    Ask("log-outputs", "POST", f"{API}/runs/outputs", {**_RUN, "models": [{"model_id": "{model}", "step": 1}]}),
    Ask("log-inputs", "POST", f"{API}/runs/log-inputs",
        {**_RUN, "datasets": [{"tags": [], "dataset": _DATASET}]}),
    Ask("delete-run", "POST", f"{API}/runs/delete", _RUN),
    Ask("restore-run", "POST", f"{API}/runs/restore", _RUN),
    Ask("create-run", "POST", f"{API}/runs/create",
        {"experiment_id": "{experiment}", "run_name": "r", "start_time": 5}),
    Ask("set-experiment-tag", "POST", f"{API}/experiments/set-experiment-tag",
        {"experiment_id": "{experiment}", "key": "k", "value": "v"}),
    Ask("get-experiment", "GET", f"{API}/experiments/get", {"experiment_id": "{experiment}"}),
    Ask("get-experiment-by-name", "GET", f"{API}/experiments/get-by-name", {"experiment_name": "{name}"}),
    Ask("get-history", "GET", f"{API}/metrics/get-history", {**_RUN, "metric_key": "of-model"}),
    Ask("get-history-bulk", "GET", "/ajax-api/2.0/mlflow/metrics/get-history-bulk",
        {"run_id": ["{run}"], "metric_key": "of-model"}),
    Ask("get-history-bulk-interval", "GET", "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval",
        {"run_ids": ["{run}"], "metric_key": "of-model", "max_results": 5}),
    Ask("search-runs", "POST", f"{API}/runs/search", {"experiment_ids": ["{experiment}"], "max_results": 1,
        "order_by": ["attributes.start_time ASC"]}),
    Ask("get-alias", "GET", f"{API}/registered-models/alias", {"name": "{name}", "alias": "champion"}),
    Ask("get-model-version", "GET", f"{API}/model-versions/get", {"name": "{name}", "version": "1"}),
    Ask("get-model", "GET", f"{API}/registered-models/get", {"name": "{name}"}),
    Ask("get-latest-versions", "GET", f"{API}/registered-models/get-latest-versions", {"name": "{name}"}),
    Ask("get-latest-versions", "POST", f"{API}/registered-models/get-latest-versions", {"name": "{name}"}),
    Ask("get-model-version-place", "GET", f"{API}/model-versions/get-download-uri", {"name": "{name}", "version": "1"}),
    Ask("search-models", "GET", f"{API}/registered-models/search", {"filter": "name = '{name}'", "max_results": 10}),
    Ask("search-model-versions", "GET", f"{API}/model-versions/search", {"filter": "name = '{name}'"}),
    Ask("search-experiments", "POST", f"{API}/experiments/search", {"max_results": 5, "filter": "name = '{name}'"}),
    Ask("create-logged-model", "POST", f"{API}/logged-models",
        {"experiment_id": "{experiment}", "name": "another", "source_run_id": "{run}"}),
    Ask("get-logged-model", "GET", _MODEL, {}),
    Ask("finalize-logged-model", "PATCH", _MODEL, {"model_id": "{model}", "status": "LOGGED_MODEL_READY"}),
    Ask("log-logged-model-params", "POST", f"{_MODEL}/params", {"model_id": "{model}", "params": []}),
    Ask("set-logged-model-tags", "PATCH", f"{_MODEL}/tags", {"tags": [{"key": "t", "value": "1"}]}),
    Ask("search-logged-models", "POST", f"{API}/logged-models/search",
        {"experiment_ids": ["{experiment}"], "filter": "name = 'logged'"}),
    Ask("search-experiments", "GET", f"{API}/experiments/search", {"max_results": 5, "filter": "name = '{name}'"}),
    Ask("export-spans", "POST", "/v1/traces", {}, {"data": b"\x0a\x00", **_SPANS}),
    Ask("start-trace", "POST", f"{GRANTS}/traces", _TRACE),
    Ask("search-traces", "POST", f"{GRANTS}/traces/search", {"locations": [_PLACE], "max_results": 5}),
    Ask("get-trace-infos", "POST", f"{GRANTS}/traces/batchGetInfos", {"trace_ids": ["{trace}"]}),
    Ask("get-trace", "GET", f"{GRANTS}/traces/get", {"trace_id": "{trace}", "allow_partial": "True"}),
    Ask("get-traces", "GET", f"{GRANTS}/traces/batchGet", {"trace_ids": ["{trace}"]}),
    Ask("get-trace-info", "GET", f"{GRANTS}/traces/{{trace}}", {}),
    Ask("server-info", "GET", "/ajax-api/3.0/mlflow/server-info", {}),
)  # fmt: skip
EVERYBODY = (*PEOPLE, ADMIN, SERVING, TRAINING)
