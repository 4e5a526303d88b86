"""What makes and changes logged models: only what MLflow surely takes is read, and a lost answer does nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from homeport.tracking.fast.database import Database
from homeport.tracking.fast.writes.group import Item, Kind
from homeport.tracking.fast.writes.model_statements import (
    MadeModel,
    ModelCreated,
    ModelFinalized,
    ModelParams,
    ModelTagged,
)
from homeport.tracking.fast.writes.models import read_created, read_finalized, read_pairs
from homeport.tracking.front.call import EMPTY, Answer, Call
from tests.programs.tracking.fast.twin import Body, ask, call

MODEL = "m-" + "1" * 32


def about(body: Body, model: str = MODEL) -> Call:
    """A call whose path names that model."""
    sent = call(body)
    sent.parts = (model,)
    return sent


def test_a_model_is_read_as_the_client_sends_it() -> None:
    body = {
        "experiment_id": "3", "name": "mödel", "model_type": "agent", "source_run_id": "r",
        "params": [{"key": "p", "value": "1"}], "tags": [{"key": "t", "value": ""}, {"key": "u"}],
    }  # fmt: skip
    assert read_created(call(body)) == MadeModel("", 3, "mödel", 0, "agent", "r", {"p": "1"}, {"t": "", "u": ""})
    assert read_created(call({"experiment_id": "0"})) == MadeModel("", 0, "", 0, "", "", {}, {})


@pytest.mark.parametrize(
    "change",
    [
        *({"name": f"a{bad}b"} for bad in "/:.%\"'\0"), {"name": "x" * 501}, {"name": 1}, {"name": None},
        {"experiment_id": "01"}, {"experiment_id": 1}, {"experiment_id": ""}, {"experimentId": "1"}, {"unknown": 1},
        {"model_type": "x" * 501}, {"source_run_id": "x" * 33}, {"params": None}, {"params": {"a": "b"}},
        {"params": [{"key": "a"}, {"key": "a"}]}, {"tags": [{"key": "a"}, {"key": "a"}]}, {"params": [{"value": "1"}]},
        {"params": [{"key": ""}]}, {"params": [{"key": "x" * 256}]}, {"tags": [{"key": "a", "value": 1}]},
        {"tags": [{"key": "a", "value": "\0"}]}, {"tags": [{"key": "a", "other": "1"}]}, {"tags": ["a"]},
    ],
    ids=repr,
)  # fmt: skip
def test_a_model_that_mlflow_might_refuse_is_left_to_it(change: Body) -> None:
    assert read_created(call({"experiment_id": "1", **change})) is None


def test_only_the_model_of_the_path_is_changed() -> None:
    params = {"params": [{"key": "a", "value": "b"}]}
    assert read_pairs(about({"model_id": MODEL, **params}), "params", named=True, twice=False) == (MODEL, {"a": "b"})
    assert read_pairs(about(params), "params", named=False, twice=False) == (MODEL, {"a": "b"})
    tags = {"tags": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]}
    assert read_pairs(about(tags), "tags", named=False, twice=True) == (MODEL, {"a": "2"})
    for other in ({"model_id": "m-2"}, {"model_id": None}, {"model_id": 1}, {"modelId": MODEL}):
        assert read_pairs(about({**params, **other}), "params", named=True, twice=False) is None
        assert read_pairs(about({**params, **other}), "params", named=False, twice=False) is None
        assert read_finalized(about({"status": 2, **other})) is None
    assert read_pairs(about(params), "params", named=True, twice=False) is None
    assert read_finalized(about({"status": 2})) is None
    for model in ("", "m-", "m-a/b", "x" * 36, "m-ü", "m-\0"):
        assert read_finalized(about({"model_id": model, "status": 2}, model)) is None


@pytest.mark.parametrize(
    ("status", "found"),
    [("LOGGED_MODEL_READY", 2), ("LOGGED_MODEL_STATUS_UNSPECIFIED", 0), (3, 3), (0, 0), ("2", None), (4, None),
     (-1, None), (True, None), (2.0, None), ("READY", None), (None, None), ("", None)],
)  # fmt: skip
def test_a_status_is_one_of_upstreams(status: object, found: int | None) -> None:
    expected = None if found is None else (MODEL, found)
    assert read_finalized(about({"model_id": MODEL, "status": status})) == expected


def write(uri: str, kind: Kind, items: list[tuple[str, Any]], *, again: bool) -> list[Answer | None]:
    """One group, as the queue writes it."""

    async def main() -> list[Answer | None]:
        pool = Database(uri)
        await pool.open()
        try:
            async with pool.connection() as connection:
                return await kind.write(connection, [Item(kind, model, data, 1, 1) for model, data in items], again)
        finally:
            await pool.close()

    return asyncio.run(main())


def new(model: str, experiment: int, **more: Any) -> tuple[str, MadeModel]:
    return model, MadeModel(model, experiment, "n", 5, "", "", {"p": "1"}, {"t": "1"})._replace(**more)


def test_what_was_written_before_the_answer_was_lost_is_found_and_not_written_twice(database: str) -> None:
    models = [new("m-1", 0), new("m-2", 0), new("m-3", 99)]
    first = write(database, ModelCreated(), models[:1], again=False)
    assert [answer and answer.status for answer in first] == [200]
    answers = write(database, ModelCreated(), models, again=True)
    assert [answer and answer.status for answer in answers] == [200, 200, None]
    assert answers[0] == first[0]
    told = orjson.loads((answers[1] or EMPTY).body)["model"]
    assert told["info"]["artifact_uri"] == "mlflow-artifacts:/0/models/m-2/artifacts"
    assert ask(database, "select model_id from logged_models order by 1") == [("m-1",), ("m-2",)]

    params: list[tuple[str, Any]] = [("m-1", {"q": "1", "r": "2"}), ("m-2", {"q": "1"}), ("m-0", {"q": "1"})]
    assert write(database, ModelParams(), params[:1], again=False) == [EMPTY]
    assert write(database, ModelParams(), params, again=True) == [EMPTY, EMPTY, None]
    assert write(database, ModelParams(), params, again=False) == [None, None, None]
    assert write(database, ModelParams(), [("m-1", {"q": "2"}), ("m-2", {})], again=True) == [None, EMPTY]
    for _ in range(2):
        tags: list[tuple[str, Any]] = [("m-1", {"t": "2", "u": ""}), ("m-0", {"t": "1"}), ("m-2", {})]
        assert write(database, ModelTagged(), tags, again=True) == [EMPTY, None, EMPTY]
        finals: list[tuple[str, Any]] = [("m-2", (2, 9)), ("m-0", (2, 9)), ("m-1", (3, 8))]
        answers = write(database, ModelFinalized(), finals, again=True)
        assert [answer and answer.status for answer in answers] == [200, None, 200]
    assert ask(database, "select model_id, status, last_updated_timestamp_ms from logged_models order by 1") == [
        ("m-1", 3, 8), ("m-2", 2, 9),
    ]  # fmt: skip
    assert ask(database, "select model_id, param_key, param_value from logged_model_params order by 1, 2") == [
        ("m-1", "p", "1"), ("m-1", "q", "1"), ("m-1", "r", "2"), ("m-2", "p", "1"), ("m-2", "q", "1"),
    ]  # fmt: skip
    assert ask(database, "select model_id, tag_key, tag_value from logged_model_tags order by 1, 2") == [
        ("m-1", "t", "2"), ("m-1", "u", ""), ("m-2", "t", "1"),
    ]  # fmt: skip


@pytest.fixture
def database(made: Callable[[], str]) -> str:
    """A database with experiment 0 in it."""
    uri = made()
    ask(uri, """insert into experiments (experiment_id, name, artifact_location, lifecycle_stage)
        values (0, 'Default', 'mlflow-artifacts:/0', 'active')""")  # fmt: skip
    return uri


@pytest.mark.parametrize("location", ["s3://b/a?x=1", "file:///a", "s3://b//a", "/a/../b", "wasbs://c@a.net/x", ""])
def test_an_unusual_artifact_location_is_left_to_mlflow(database: str, location: str) -> None:
    ask(database, f"update experiments set artifact_location = '{location}'")
    assert write(database, ModelCreated(), [new("m-1", 0)], again=False) == [None]
    assert ask(database, "select * from logged_models") == []


def test_a_model_with_metrics_that_mlflow_cannot_tell_is_not_finalised_here(database: str) -> None:
    write(database, ModelCreated(), [new("m-1", 0)], again=False)
    ask(database, "insert into runs (run_uuid, experiment_id) values ('r', 0)")
    ask(database, """insert into logged_model_metrics (model_id, metric_name, metric_timestamp_ms, metric_step,
        metric_value, experiment_id, run_id, dataset_name) values ('m-1', 'm', 1, 1, 1, 0, 'r', 'half')""")  # fmt: skip
    assert write(database, ModelFinalized(), [("m-1", (2, 9))], again=False) == [None]
    assert ask(database, "select status from logged_models") == [(1,)]
