"""Whatever body the fast lane takes, MLflow takes too, and reads the same from it; the rest is left to MLflow."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeport.tracking.fast.writes.experiments import read_new, read_tag
from homeport.tracking.fast.writes.inputs import read_inputs, read_outputs
from homeport.tracking.fast.writes.logging import read_batch, read_metric, read_pair
from homeport.tracking.fast.writes.runs import read_changed, read_created
from tests.programs.tracking.fast.twin import call

RUN = "0123456789abcdef0123456789abcdef"
odd: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, False, "", " ", 0, -1, 1.5, 2.0, 10**19, 10**30, -(2**63), 2**63, "1", "-7", "1.5", "0x1", "1_0", "１",
     "NaN", "nan", "Infinity", "-Infinity", "inf", "1e3", "1e999", " 1", [], {}, [1], "a\0b", "a\n", "..", "/a", "a//b",
     "a/", "./a", "é", "a" * 251, "FINISHED", "finished", 3, "3", 9, "0", "00", "7"]
)  # fmt: skip
keys = st.one_of(st.sampled_from(["k", "a/b c:d.e-f", "é_1"]), odd)
values = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(), odd)
numbers = st.one_of(st.integers(-5, 10**13), odd)
texts = st.one_of(st.text(st.characters(codec="utf-8"), max_size=5), odd)
runs = st.one_of(st.just(RUN), odd)
models = st.one_of(st.just("m-1"), odd)
locations = st.sampled_from(
    ["", "s3://bucket", "s3://b-1/a/b_c/", "mlflow-artifacts:/", "mlflow-artifacts:/x", "/a/b", "/", "file:///a", "a/b",
     "s3://b/a?x=1", "s3://b/a#f", "s3://b/a;b", "s3://b//a", "s3://b/../a", "runs:/a", "https://h/a", "http://h",
     "mlflow-artifacts://h/a", "s3://b/" + "a" * 249, "s3://b/" + "a" * 250, "wasbs://c@a.net/x", "S3://b", "s3:/b"]
)  # fmt: skip
datasets = st.fixed_dictionaries(
    {"name": texts, "digest": texts, "source_type": texts, "source": texts},
    optional={"schema": texts, "profile": texts},
)


def some(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with the required keys, any of the optional ones, and rarely a stray one."""
    stray = {"runId": runs, "metricKey": odd}
    return st.fixed_dictionaries(required, optional={**optional, **({} if required.get("key") is None else stray)})


metrics = some(
    {"key": keys, "value": values, "timestamp": numbers}, {"step": numbers, "model_id": texts, "run_id": runs}
)
pairs = some({"key": st.one_of(keys, st.just("mlflow.runName"))}, {"value": texts})
BODIES = {
    "log_metric": some(
        {"run_id": runs, "key": keys, "value": values, "timestamp": numbers},
        {"step": numbers, "run_uuid": runs, "model_id": texts, "dataset_name": texts, "dataset_digest": texts},
    ),
    "log_batch": st.fixed_dictionaries(
        {"run_id": runs},
        optional={name: st.one_of(st.lists(each, max_size=3), odd) for name, each in
                  (("metrics", metrics), ("params", pairs), ("tags", pairs))},
    ),
    "log_param": some({"run_id": runs, "key": keys}, {"value": texts, "run_uuid": runs}),
    "set_tag": some({"run_id": runs, "key": keys}, {"value": texts, "run_uuid": runs}),
    "create_experiment": st.fixed_dictionaries(
        {"name": texts},
        optional={"artifact_location": st.one_of(locations, odd), "tags": st.one_of(st.lists(pairs, max_size=3), odd)},
    ),
    "create_run": st.fixed_dictionaries(
        {"experiment_id": st.one_of(st.just("0"), odd)},
        optional={"user_id": texts, "run_name": texts, "start_time": numbers, "tags": st.lists(pairs, max_size=2)},
    ),
    "update_run": some({"run_id": runs}, {"run_uuid": runs, "status": odd, "end_time": numbers, "run_name": texts}),
    "set_experiment_tag": some({"experiment_id": st.one_of(st.just("0"), odd), "key": keys}, {"value": texts}),
    "log_outputs": st.fixed_dictionaries(
        {"run_id": runs, "models": st.lists(some({"model_id": models}, {"step": numbers}), max_size=2)}
    ),
    "log_inputs": st.fixed_dictionaries(
        {"run_id": runs},
        optional={"models": st.lists(st.fixed_dictionaries({"model_id": models}), max_size=2),
                  "datasets": st.lists(st.fixed_dictionaries(
                      {"dataset": datasets},
                      optional={"tags": st.lists(pairs, max_size=2)}), max_size=2)},
    ),
}  # fmt: skip


class Recorder:
    """Stands where MLflow's store stands: validates with MLflow's own functions and keeps what the handler read."""

    def __init__(self) -> None:
        self.read: Any = None

    def log_metric(self, run_id: str, metric: Any) -> None:
        self.log_batch(run_id, [metric], [], [])

    def log_batch(self, run_id: str, metrics: list[Any], params: list[Any], tags: list[Any]) -> None:
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
        from mlflow.utils import validation

        validation._validate_run_id(run_id)
        metrics, params, tags = validation._validate_batch_log_data(metrics, params, tags)
        validation._validate_batch_log_limits(metrics, params, tags)
        validation._validate_param_keys_unique(params)
        rows = []
        for m in metrics:
            is_nan, value = SqlAlchemyStore.sanitize_metric_value(self, m.value)
            rows.append((m.key, float(value), m.timestamp, m.step, is_nan))
        models = [
            (m.model_id, m.key, m.timestamp, m.step, m.dataset_name, m.dataset_digest) for m in metrics if m.model_id
        ]
        self.read = (run_id, rows, [(p.key, p.value) for p in params], [(t.key, t.value) for t in tags], models)

    def log_param(self, run_id: str, param: Any) -> None:
        self.log_batch(run_id, [], [param], [])

    def set_tag(self, run_id: str, tag: Any) -> None:
        self.log_batch(run_id, [], [], [tag])

    def create_run(self, experiment_id: str, user_id: str, start_time: int, tags: list[Any], run_name: str) -> Any:
        from mlflow.entities import Run, RunData, RunInfo

        self.read = (int(experiment_id), user_id, run_name, start_time, {t.key: t.value for t in tags})
        return Run(RunInfo(RUN, experiment_id, user_id, "RUNNING", start_time, None, "active"), RunData())

    def update_run_info(self, run_id: str, status: int | None, end_time: int | None, run_name: str | None) -> Any:
        from mlflow.entities import RunInfo

        self.read = (run_id, status, end_time, run_name)
        return RunInfo(run_id, "0", "", "RUNNING", 1, None, "active")

    def set_experiment_tag(self, experiment_id: str, tag: Any) -> None:
        from mlflow.utils import validation

        validation._validate_experiment_tag(tag.key, tag.value)
        self.read = (int(experiment_id), tag.key, tag.value)

    def create_experiment(self, name: str, artifact_location: str, tags: list[Any]) -> str:
        from mlflow.utils import uri, validation

        validation._validate_experiment_name(name)
        if artifact_location:
            artifact_location = uri.resolve_uri_if_local(artifact_location)
            validation._validate_experiment_artifact_location_length(artifact_location)
        for tag in tags:
            validation._validate_experiment_tag(tag.key, tag.value)
        self.read = (name, artifact_location, [(tag.key, tag.value) for tag in tags])
        return "1"

    def log_outputs(self, run_id: str, models: list[Any]) -> None:
        self.read = (run_id, [(m.model_id, m.step) for m in models])

    def log_inputs(self, run_id: str, datasets: list[Any], models: list[Any] | None) -> None:
        from mlflow.utils import validation

        validation._validate_run_id(run_id)
        validation._validate_dataset_inputs(datasets)
        found: dict[Any, Any] = {}
        for d in datasets:
            row = tuple(
                getattr(d.dataset, name) for name in ("name", "digest", "source_type", "source", "schema", "profile")
            )
            found.setdefault(row[:2], (row, [(t.key, t.value) for t in d.tags]))
        self.read = (run_id, list(found.values()), [m.model_id for m in models or ()])


def _entries(run: str, entries: Any, name: str = "") -> Any:
    columns = [list(zip(*table, strict=True)) for table in entries]
    models = [(m[0], m[1], m[2], m[3], m[5], m[6]) for m in columns[3]]
    tags = [*columns[2], *([("mlflow.runName", name)] if name else [])]
    return (run, columns[0], columns[1], sorted(tags), models)


def ours(handler: str, body: bytes) -> Any:
    """What we read, in the recorder's shape; None where it is left to MLflow."""
    from homeport.tracking.fast.writes.runs import STATUSES

    request = call(body)
    found: Any
    if handler in {"log_metric", "log_batch"}:
        found = (read_metric if handler == "log_metric" else read_batch)(request)
        return _entries(*found) if found else None
    if handler in {"log_param", "set_tag"}:
        found = read_pair(request, 6000 if handler == "log_param" else 8000)
        if found is None:
            return None
        pair = [found[1:]]
        return (found[0], [], *((pair, []) if handler == "log_param" else ([], pair)), [])
    if handler == "create_run":
        found = read_created(request)
        given = json.loads(body).get("run_name") or ""
        return (found.experiment, found.user, given, found.start, found.tags) if found else None
    if handler == "update_run":
        found = read_changed(request)
        if found is None:
            return None
        numbers = {name: number for number, name in STATUSES.items()}
        return (found[0], numbers.get(found[1].status), found[1].end, found[1].name)
    if handler == "set_experiment_tag":
        return read_tag(request)
    if handler == "create_experiment":
        found = read_new(request)
        return (found.name, found.location, list(found.tags.items())) if found else None
    if handler == "log_outputs":
        found = read_outputs(request)
        return (found[0], [row[1:] for row in found[1]]) if found else None
    found = read_inputs(request)
    if found is None:
        return None
    run, read = found
    tags = {row[2]: [] for row in read.datasets}  # type: ignore[var-annotated]
    for edge, key, value in read.tags:
        tags[edge].append((key, value))
    return (run, [(row[3:], tags[row[2]]) for row in read.datasets], [row[1] for row in read.models])


@pytest.mark.parametrize("handler", sorted(BODIES))
def test_what_is_taken_is_read_as_mlflow_reads_it(handler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.server import app, handlers

    recorder = Recorder()
    monkeypatch.setattr(handlers, "_tracking_store", recorder)
    taken = 0

    @settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(body=BODIES[handler])
    def check(body: dict[str, Any]) -> None:
        nonlocal taken
        sent = json.dumps(body).encode()
        mine = ours(handler, sent)
        if mine is None:
            return
        taken += 1
        recorder.read = None
        with app.test_request_context(method="POST", data=sent, content_type="application/json"):
            answer = getattr(handlers, f"_{handler}")()
        assert answer.status_code == 200, (body, answer.get_data(as_text=True))
        theirs = recorder.read
        if handler == "update_run":
            theirs = (*theirs[:3], theirs[3] or None)
        if handler == "log_batch":
            theirs = (*theirs[:3], sorted(theirs[3]), theirs[4])
        assert mine == theirs, body

    check()
    assert taken > 10, "it takes too little to prove anything"


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ((b"content-type", b"text/plain"),),
        ((b"content-type", b"Application/JSON"),),
        ((b"content-type", b"application/json ;charset=utf-8"),),
        ((b"content-type", b"application/json"), (b"content-type", b"application/json")),
        ((b"content-type", b"application/json"), (b"transfer-encoding", b"chunked")),
        ((b"content-type", b"application/json"), (b"content-encoding", b"gzip")),
    ],
)
def test_a_request_of_another_type_is_left_to_mlflow(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    body = {"run_id": RUN, "key": "k", "value": 1.0, "timestamp": 1, "step": 1}
    assert read_metric(call(body, (b"content-type", b"application/json; charset=utf-8"))) is not None
    assert read_metric(call(body, *(headers or ((b"accept", b"*/*"),)))) is None


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b'"{}"', b"{", b'{"run_id": "a", "key": "k", "value": NaN, "timestamp": 1}',
        b'{"run_id": "a", "key": "\\ud800", "value": 1, "timestamp": 1}', b'\xef\xbb\xbf{"run_id": "a"}',
    ],
)  # fmt: skip
def test_a_body_that_is_not_plain_json_is_left_to_mlflow(body: bytes) -> None:
    assert read_metric(call(body)) is None
    assert read_batch(call(body)) is None
    assert read_pair(call(body), 6000) is None


def test_limits_of_a_batch_are_upstreams() -> None:
    def batch(metrics: int, params: int, tags: int) -> bool:
        body = {
            "run_id": RUN,
            "metrics": [{"key": f"{n}", "value": 1.0, "timestamp": 1, "step": n} for n in range(metrics)],
            "params": [{"key": f"{n}", "value": "1"} for n in range(params)],
            "tags": [{"key": f"{n}", "value": "1"} for n in range(tags)],
        }
        return read_batch(call(body)) is not None

    assert [batch(1000, 0, 0), batch(800, 100, 100), batch(0, 0, 0)] == [True] * 3
    assert [batch(1001, 0, 0), batch(801, 100, 100), batch(0, 101, 0), batch(0, 0, 101)] == [False] * 4
