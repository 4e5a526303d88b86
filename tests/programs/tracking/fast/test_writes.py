"""Every hot call that writes leaves the rows that MLflow's own handlers leave, and answers as they do."""

from __future__ import annotations

import asyncio
import json

import pytest

from homeport.tracking.fast.writes.group import BUSY
from tests.programs.tracking.fast.twin import Body, Twin, ask, ours

METRIC = "runs/log-metric"
BATCH = "runs/log-batch"
PARAM = "runs/log-parameter"
TAG = "runs/set-tag"


def metric(run: str, key: str, value: object, timestamp: object = 1, step: object = 0) -> Body:
    return {"run_id": run, "key": key, "value": value, "timestamp": timestamp, "step": step}


def entry(key: str, value: object, timestamp: object = 1, step: object = 0) -> Body:
    return {"key": key, "value": value, "timestamp": timestamp, "step": step}


def test_metrics_are_written_and_the_latest_is_found_as_mlflow_finds_it(twin: Twin) -> None:
    """Out of order, twice, tied, NaN, infinite, negative, huge, as numbers and as text."""
    logged = [
        ("a", 1.5, 10, 1), ("a", 2.5, 9, 1), ("a", 2.5, 10, 1), ("a", 1.5, 10, 1), ("a", 9, 1, 0),
        ("b", "NaN", 1, 0), ("b", 0.0, 1, 0), ("b", -1.0, 1, 0), ("c", 0.0, 1, 0), ("c", "NaN", 1, 0),
        ("d", "Infinity", 1, 0), ("d", 1e308, 1, 0), ("e", "-Infinity", 1, 0), ("e", "NaN", 1, 0),
        ("f", -0.0, 1, 0), ("f", 0.0, 1, 0), ("g", 18446744073709551615, 2**63 - 1, -5),
        ("g", "1.25e-3", "12", "-4"), ("h", "3", 0, "7"), ("i/j k:l.m-n_é", 5e-324, 1, 2**62), ("a", 0.1, 10, 2),
    ]  # fmt: skip

    async def main() -> None:
        async with ours(twin.uris[0]) as lane:
            one, two = await twin.run(lane), await twin.run(lane)
            for row in logged:
                assert await twin.same(lane, METRIC, metric(one, *row)), row
            half = [entry(*row) for row in logged]
            assert await twin.same(lane, BATCH, {"run_id": two, "metrics": half})
            twin.assert_same_rows()
            assert await twin.same(lane, BATCH, {"run_id": one, "metrics": half[::-1]})
            assert await twin.same(lane, METRIC, {"run_uuid": one, "key": "a", "value": 3, "timestamp": 5})
            assert await twin.same(lane, METRIC, {**metric(one, "a", 4), "run_uuid": one, "step": None})

    asyncio.run(main())
    twin.assert_same_rows()


def test_params_and_tags_are_written_and_a_param_never_changes(twin: Twin) -> None:
    async def main() -> None:
        async with ours(twin.uris[0]) as lane:
            run = await twin.run(lane)
            assert await twin.same(lane, PARAM, {"run_id": run, "key": "p", "value": "1"})
            assert await twin.same(lane, PARAM, {"run_id": run, "key": "p", "value": "1"})
            assert await twin.same(lane, PARAM, {"run_uuid": run, "key": "empty"})
            await twin.refused(lane, PARAM, {"run_id": run, "key": "p", "value": "2"})
            both = {"params": [{"key": "q", "value": "é\n"}, {"key": "p", "value": "1"}], "tags": [{"key": "t"}]}
            assert await twin.same(lane, BATCH, {"run_id": run, **both})
            bad = {"params": [{"key": "r", "value": "1"}, {"key": "p", "value": "2"}], "metrics": [entry("m", 1)]}
            await twin.refused(lane, BATCH, {"run_id": run, **bad, "tags": [{"key": "t", "value": "no"}]})
            assert await twin.same(lane, TAG, {"run_id": run, "key": "t", "value": "new"})
            assert await twin.same(lane, TAG, {"run_id": run, "key": "mlflow.note.content", "value": "x" * 8000})
            assert await twin.same(lane, BATCH, {"run_id": run})

    asyncio.run(main())
    twin.assert_same_rows()


def test_a_run_is_made_renamed_ended_deleted_and_restored_as_mlflow_does(twin: Twin) -> None:
    async def main() -> None:
        async with ours(twin.uris[0]) as lane:
            run = await twin.run(lane, tags=[{"key": "mlflow.user", "value": "é"}, {"key": "bare"}], user_id="u")
            bare = await twin.run(lane, start_time="7", tags=[{"key": "mlflow.runName", "value": "run2"}])
            for change in (
                {"run_id": run, "status": "FINISHED", "end_time": 12},
                {"run_id": run, "status": 1, "end_time": "13", "run_name": "renamed"},
                {"run_uuid": bare, "run_id": bare, "run_name": "x" * 250},
                {"run_id": bare, "end_time": 0},
                {"run_id": bare, "run_name": ""},
            ):
                assert await twin.same(lane, "runs/update", change), change
            assert await twin.same(lane, TAG, {"run_id": run, "key": "mlflow.runName", "value": "by tag"})
            assert await twin.same(lane, "runs/delete-tag", {"run_id": run, "key": "mlflow.user"})
            await twin.refused(lane, "runs/delete-tag", {"run_id": run, "key": "mlflow.user"})
            assert not await twin.same(lane, "runs/update", {"run_id": run, "status": "DONE"})
            assert await twin.same(lane, "runs/delete", {"run_id": run})
            assert await twin.same(lane, "runs/delete", {"run_id": run})
            twin.assert_same_rows()
            for path, body in (
                (METRIC, metric(run, "m", 1)),
                (BATCH, {"run_id": run}),
                (PARAM, {"run_id": run, "key": "p", "value": "1"}),
                (TAG, {"run_id": run, "key": "t", "value": "1"}),
                (TAG, {"run_id": run, "key": "mlflow.runName", "value": "1"}),
                ("runs/delete-tag", {"run_id": run, "key": "bare"}),
                ("runs/update", {"run_id": run, "status": "FAILED"}),
                ("runs/log-inputs", {"run_id": run}),
                ("runs/outputs", {"run_id": run, "models": []}),
            ):
                await twin.refused(lane, path, body)
                await twin.refused(lane, path, {**body, "run_id": "0" * 32})
            assert await twin.same(lane, "runs/restore", {"run_id": run})
            assert await twin.same(lane, METRIC, metric(run, "m", 1))
            await twin.refused(lane, "runs/restore", {"run_id": "nosuchrun"})
            await twin.refused(lane, "runs/create", {"experiment_id": "77"})

    asyncio.run(main())
    twin.assert_same_rows()


def test_a_name_is_made_for_a_run_without_one_and_told_in_its_tag(twin: Twin) -> None:
    async def main() -> None:
        async with ours(twin.uris[0]) as lane:
            assert await lane.post("runs/create", {"experiment_id": "0"}) is not None

    asyncio.run(main())
    ((name, tag),) = ask(twin.uris[0], "select r.name, t.value from runs r join tags t using (run_uuid)")
    assert name == tag
    assert name.count("-") == 2
    assert name.rsplit("-", 1)[1].isdigit()


def assessed(uri: str, run: str) -> None:
    """An assessment that came of this run."""
    told = json.dumps({"mlflow.assessment.sourceRunId": run})
    ask(uri, "insert into trace_info (request_id, experiment_id, timestamp_ms, status) values ('t', 0, 1, 'OK')")
    ask(uri, f"""insert into assessments (assessment_id, trace_id, name, assessment_type, value, created_timestamp,
        last_updated_timestamp, source_type, valid, assessment_metadata)
        values ('a', 't', 'n', 'feedback', '1', 1, 1, 'HUMAN', true, '{told}')""")  # fmt: skip


def test_a_deleted_experiment_takes_no_run_and_a_run_with_assessments_is_left_to_mlflow(twin: Twin) -> None:
    async def main() -> None:
        async with ours(twin.uris[0]) as lane:
            run = await twin.run(lane)
            for side, uri in enumerate(twin.uris):
                assessed(uri, twin.runs[run][side])
            assert not await twin.same(lane, "runs/delete", {"run_id": run})
            assert await twin.same(
                lane, "experiments/set-experiment-tag", {"experiment_id": "0", "key": "k", "value": "v"}
            )
            assert await twin.same(lane, "experiments/set-experiment-tag", {"experiment_id": "0", "key": "k"})
            for uri in twin.uris:
                ask(uri, "update experiments set lifecycle_stage = 'deleted'")
            await twin.refused(lane, "runs/create", {"experiment_id": "0", "run_name": "x"})
            await twin.refused(lane, "experiments/set-experiment-tag", {"experiment_id": "0", "key": "k", "value": "v"})

    asyncio.run(main())
    twin.assert_same_rows()


@pytest.mark.parametrize(
    "location",
    ["mlflow-artifacts:/0", "mlflow-artifacts:/", "s3://bucket", "s3://bucket/", "s3://b-1.x/a/b_c", "/a/b", "/a/"],
)
def test_artifacts_of_a_run_are_where_mlflow_would_put_them(twin: Twin, location: str) -> None:
    for uri in twin.uris:
        ask(uri, f"update experiments set artifact_location = '{location}'")

    async def main() -> None:
        async with ours(twin.uris[0]) as lane:
            await twin.run(lane)

    asyncio.run(main())
    twin.assert_same_rows()


@pytest.mark.parametrize(
    "location",
    ["s3://b/a?x=1", "file:///a", "file:a", "s3://b//a", "/a/../b", "s3://b/a#f", "wasbs://c@a.net/x", "/a;b", ""],
)
def test_an_unusual_artifact_location_is_left_to_mlflow(twin: Twin, location: str) -> None:
    ask(twin.uris[0], f"update experiments set artifact_location = '{location}'")

    async def main() -> None:
        async with ours(twin.uris[0]) as lane:
            assert await lane.post("runs/create", {"experiment_id": "0"}) is None

    asyncio.run(main())
    assert ask(twin.uris[0], "select * from runs") == []


def test_inputs_and_outputs_are_written_once_each(twin: Twin) -> None:
    first = {"name": "n", "digest": "d", "source_type": "local", "source": "{}", "schema": "s"}
    other = {"name": "o", "digest": "d", "source_type": "local", "source": "{}", "profile": "p"}
    tag = [{"key": "mlflow.data.context", "value": "train"}]

    async def main() -> None:
        async with ours(twin.uris[0]) as lane:
            run, next_run = await twin.run(lane), await twin.run(lane)
            path = "runs/log-inputs"
            once = {
                "run_id": run,
                "datasets": [{"dataset": first, "tags": tag}, {"dataset": first}, {"dataset": other}],
            }
            assert await twin.same(lane, path, once)
            assert await twin.same(lane, path, once)
            assert await twin.same(
                lane, path, {"run_id": next_run, "datasets": once["datasets"], "models": [{"model_id": "m-1"}]}
            )
            assert await twin.same(
                lane, path, {"run_id": next_run, "models": [{"model_id": "m-1"}, {"model_id": "m-2"}]}
            )
            out = {"run_id": run, "models": [{"model_id": "m-1", "step": 3}, {"model_id": "m-2", "step": "4"}]}
            assert await twin.same(lane, "runs/outputs", out)
            await twin.refused(lane, "runs/outputs", out)
            await twin.refused(lane, path, {"run_id": run, "datasets": [{"dataset": {**first, "name": "x" * 501}}]})

    asyncio.run(main())
    twin.assert_same_rows()


def test_metrics_of_a_model_are_written_beside_those_of_the_run(twin: Twin) -> None:
    for uri in twin.uris:
        ask(uri, """insert into logged_models (model_id, experiment_id, name, artifact_location, creation_timestamp_ms,
            last_updated_timestamp_ms, status, lifecycle_stage)
            values ('m-1', 0, 'one', 'x', 1, 1, 1, 'active')""")  # fmt: skip

    async def main() -> None:
        async with ours(twin.uris[0]) as lane:
            run = await twin.run(lane)
            body = {**metric(run, "m", "NaN"), "model_id": "m-1", "dataset_name": "n", "dataset_digest": "d"}
            assert await twin.same(lane, METRIC, body)
            assert await twin.same(lane, METRIC, body)
            await twin.refused(lane, METRIC, {**body, "value": 2})
            await twin.refused(lane, METRIC, {**body, "model_id": "m-none", "key": "none"})
            entries = [{**entry("x", 1, 1, step), "model_id": "m-1", "run_id": run} for step in range(3)]
            assert await twin.same(lane, BATCH, {"run_id": run, "metrics": [*entries, entry("y", 1)]})
            odd = {"key": "z", "value": 1, "timestamp": 1, "model_id": "m-1"}
            assert await twin.same(lane, BATCH, {"run_id": run, "metrics": [odd]})
            assert await twin.same(lane, METRIC, {**metric(run, "w", 1), "model_id": ""})

    asyncio.run(main())
    twin.assert_same_rows()


def test_beyond_its_bound_the_queue_says_busy_and_writes_nothing(twin: Twin) -> None:
    async def main() -> None:
        async with ours(twin.uris[0]) as lane:
            run = twin.runs[await twin.run(lane)][0]
            lane.writes._groups._most_items = 4
            answers = await asyncio.gather(*(lane.post(METRIC, metric(run, "m", 1, step=n)) for n in range(10)))
            assert answers[4:] == [BUSY] * 6
            assert [answer and answer.status for answer in answers[:4]] == [200] * 4
            assert (BUSY.status, BUSY.headers) == (429, ((b"retry-after", b"1"),))
            assert [queue.depth for queue in lane.writes.groups] == [0]
            assert [queue.size for queue in lane.writes.groups] == [0]

    asyncio.run(main())
    assert ask(twin.uris[0], "select count(*) from metrics") == [(4,)]
