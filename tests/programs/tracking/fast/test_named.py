"""A batch that names its run too leaves the rows that MLflow leaves, or none."""

from __future__ import annotations

import asyncio
from typing import Any

from homeport.tracking.front.call import EMPTY
from tests.programs.tracking.fast.twin import Twin, ask, ours

BATCH = "runs/log-batch"


def tags(name: str, **more: str) -> list[dict[str, Any]]:
    return [{"key": key, "value": value} for key, value in {"a": "1", "mlflow.runName": name, **more}.items()]


def test_a_batch_with_a_run_name_renames_the_run_as_mlflow_does(twin: Twin) -> None:
    point = {"key": "m", "value": 1.5, "timestamp": 1, "step": 1}

    async def main() -> None:
        async with ours(twin.uris[0]) as lane:
            run, other = await twin.run(lane), await twin.run(lane)
            whole = {"metrics": [point], "params": [{"key": "p", "value": "1"}]}
            for body in (
                {"run_id": run, "tags": tags("by batch")},
                {"run_id": run, **whole, "tags": tags("rün 😀", b="2")},
                {"run_id": other, "tags": [{"key": "mlflow.runName", "value": "x" * 250}]},
            ):
                assert await twin.same(lane, BATCH, body), body
            twin.assert_same_rows()
            ended = {"run_id": other, "status": "FINISHED", "end_time": 9}
            assert await twin.same(lane, "runs/update", ended)
            assert await twin.same(lane, "runs/delete-tag", {"run_id": other, "key": "mlflow.runName"})
            assert await twin.same(lane, BATCH, {"run_id": other, "tags": tags("again", b="3")})
            twin.assert_same_rows()
            for name in ("", "x" * 251):
                assert not await twin.same(lane, BATCH, {"run_id": run, "tags": tags(name)})
            changed = [{"key": "p", "value": "2"}]
            await twin.refused(lane, BATCH, {"run_id": run, "params": changed, "tags": tags("no")})
            await twin.refused(lane, BATCH, {"run_id": "0" * 32, "tags": tags("no")})
            assert await twin.same(lane, "runs/delete", {"run_id": run})
            await twin.refused(lane, BATCH, {"run_id": run, "tags": tags("no")})

    asyncio.run(main())
    twin.assert_same_rows()


def test_of_a_batch_whose_run_cannot_be_renamed_nothing_is_written(twin: Twin) -> None:
    async def main() -> None:
        async with ours(twin.uris[0]) as lane:
            run = twin.runs[await twin.run(lane)][0]
            ask(twin.uris[0], "update runs set user_id = null")  # MLflow fails at it
            assert await lane.post(BATCH, {"run_id": run, "tags": tags("no")}) is None
            assert await lane.post(BATCH, {"run_id": run, "tags": [{"key": "b", "value": "2"}]}) == EMPTY

    asyncio.run(main())
    assert ask(twin.uris[0], "select key from tags order by 1") == [("b",), ("mlflow.runName",)]
    assert ask(twin.uris[0], "select name from runs") == [("run1",)]


def test_names_of_one_run_are_given_in_the_order_of_their_arrival(twin: Twin) -> None:
    async def main() -> None:
        async with ours(twin.uris[0]) as lane:
            run = twin.runs[await twin.run(lane)][0]
            name = "mlflow.runName"
            answers = await asyncio.gather(
                *(lane.post(BATCH, {"run_id": run, "tags": tags(f"n{nth}")}) for nth in range(10)),
                lane.post("runs/set-tag", {"run_id": run, "key": name, "value": "by tag"}),
                lane.post(BATCH, {"run_id": run, "tags": tags("at last")}),
                lane.post("runs/set-tag", {"run_id": run, "key": "a", "value": "2"}),
            )
            assert answers == [EMPTY] * 13

    asyncio.run(main())
    assert ask(twin.uris[0], "select name from runs") == [("at last",)]
    assert ask(twin.uris[0], "select key, value from tags order by 1") == [("a", "2"), ("mlflow.runName", "at last")]
