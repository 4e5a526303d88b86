"""Group commit: order, bad neighbours, lost connections, clients that go away, and many writers at once."""

from __future__ import annotations

import asyncio
import random

import orjson

from homeport.tracking.fast.database import is_lost
from homeport.tracking.front.call import EMPTY
from tests.programs.tracking.fast.twin import Body, Ours, Twin, ask, ours

METRIC = "runs/log-metric"
BATCH = "runs/log-batch"
PARAM = "runs/log-parameter"


def metric(run: str, key: str, value: float, step: int = 0) -> Body:
    return {"run_id": run, "key": key, "value": value, "timestamp": 1, "step": step}


async def make(lane: Ours) -> str:
    answer = await lane.post("runs/create", {"experiment_id": "0", "start_time": 1})
    assert answer is not None
    return str(orjson.loads(answer.body)["run"]["info"]["run_id"])


def test_one_bad_request_of_a_group_fails_alone(twin: Twin) -> None:
    async def main() -> None:
        async with ours(twin.uris[0]) as lane:
            good, gone, other = await make(lane), await make(lane), await make(lane)
            assert await lane.post("runs/delete", {"run_id": gone}) == EMPTY
            assert await lane.post(PARAM, {"run_id": other, "key": "p", "value": "1"}) == EMPTY
            model = {**metric(other, "x", 1), "model_id": "m-none"}
            bad = {"run_id": other, "params": [{"key": "p", "value": "2"}], "tags": [{"key": "t", "value": "bad"}]}
            answers = await asyncio.gather(
                *(lane.post(METRIC, metric(good, "m", 1, step)) for step in range(20)),
                lane.post(METRIC, metric(gone, "m", 1)),
                lane.post(METRIC, metric("0" * 32, "m", 1)),
                lane.post(METRIC, model),
                lane.post(BATCH, {**bad, "metrics": [{"key": "m", "value": 1.0, "timestamp": 1, "step": 1}]}),
                *(lane.post(METRIC, metric(good, "m", 1, step)) for step in range(20, 40)),
                lane.post("runs/set-tag", {"run_id": other, "key": "t", "value": "good"}),
            )
            assert answers == [EMPTY] * 20 + [None] * 4 + [EMPTY] * 21
            assert lane.writes.groups[0].groups < 12

    asyncio.run(main())
    assert ask(twin.uris[0], "select count(*), max(step) from metrics") == [(40, 39)]
    assert ask(twin.uris[0], "select value from tags where key = 't'") == [("good",)]


def test_a_group_that_the_database_refuses_is_written_one_by_one(twin: Twin) -> None:
    """A trigger refuses one key only; nobody but its request notices."""
    ask(twin.uris[0], """create function refuse() returns trigger language plpgsql as $$ begin
        if new.key = 'cursed' then raise exception 'no'; end if; return new; end $$;
        create trigger refuse before insert on metrics for each row execute function refuse()""")  # fmt: skip

    async def main() -> None:
        async with ours(twin.uris[0]) as lane:
            run = await make(lane)
            keys = ["a", "b", "cursed", "c", "d"]
            answers = await asyncio.gather(*(lane.post(METRIC, metric(run, key, 1)) for key in keys))
            assert answers == [EMPTY, EMPTY, None, EMPTY, EMPTY]

    asyncio.run(main())
    assert ask(twin.uris[0], "select string_agg(key, '' order by key) from metrics") == [("abcd",)]


def test_of_two_values_for_a_param_the_first_to_arrive_stays(twin: Twin) -> None:
    async def main() -> None:
        async with ours(twin.uris[0]) as lane:
            run = await make(lane)
            values = ["1", "1", "2", "1", "3"]
            answers = await asyncio.gather(
                *(lane.post(PARAM, {"run_id": run, "key": "p", "value": value}) for value in values)
            )
            assert answers == [EMPTY, EMPTY, None, EMPTY, None]

    asyncio.run(main())
    assert ask(twin.uris[0], "select value from params") == [("1",)]


def test_requests_about_one_run_keep_their_order(twin: Twin) -> None:
    async def main() -> None:
        async with ours(twin.uris[0]) as lane:
            run, other = await make(lane), await make(lane)
            answers = await asyncio.gather(
                lane.post("runs/set-tag", {"run_id": run, "key": "t", "value": "1"}),
                lane.post("runs/set-tag", {"run_id": run, "key": "t", "value": "2"}),
                lane.post("runs/delete-tag", {"run_id": run, "key": "t"}),
                lane.post("runs/set-tag", {"run_id": run, "key": "t", "value": "3"}),
                lane.post(METRIC, metric(other, "m", 1)),
                lane.post("runs/update", {"run_id": run, "run_name": "a"}),
                lane.post("runs/update", {"run_id": run, "run_name": "b"}),
                lane.post("runs/delete", {"run_id": run}),
                lane.post(METRIC, metric(run, "late", 1)),
                lane.post("runs/restore", {"run_id": run}),
                lane.post(METRIC, metric(run, "in time", 1)),
            )
            assert [bool(answer) for answer in answers] == [True] * 8 + [False, True, True]

    asyncio.run(main())
    assert ask(twin.uris[0], "select value from tags where key = 't'") == [("3",)]
    assert ask(twin.uris[0], "select key from metrics order by 1") == [("in time",), ("m",)]
    assert ask(twin.uris[0], "select count(*) from runs where name = 'b'") == [(1,)]


def test_a_client_that_goes_away_takes_nobody_with_it(twin: Twin) -> None:
    async def main() -> None:
        async with ours(twin.uris[0]) as lane:
            run = await make(lane)
            tasks = [asyncio.create_task(lane.post(METRIC, metric(run, "m", 1, step))) for step in range(10)]
            await asyncio.sleep(0)
            tasks[3].cancel()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            assert [answer for index, answer in enumerate(answers) if index != 3] == [EMPTY] * 9
            assert isinstance(answers[3], asyncio.CancelledError)

    asyncio.run(main())
    assert ask(twin.uris[0], "select count(*) from metrics where step <> 3") == [(9,)]


def test_eight_writers_leave_what_one_writer_would(twin: Twin) -> None:
    """On one run and on many, with batches that overlap; the same with two fronts on one database."""
    numbers = random.Random(1)

    async def main() -> None:
        async with ours(twin.uris[0]) as lane, ours(twin.uris[0]) as second:
            runs = [await make(lane) for _ in range(4)]

            async def write(writer: int) -> None:
                side = second if writer % 2 else lane
                for _ in range(15):
                    run = runs[0] if writer < 4 else numbers.choice(runs)
                    entries = [
                        {"key": f"k{numbers.randrange(30)}", "value": float(numbers.randrange(3)), "timestamp": 1}
                        for _ in range(40)
                    ]
                    tags = [{"key": key, "value": str(writer)} for key in numbers.sample("abcdef", 3)]
                    params = [{"key": key, "value": "same"} for key in numbers.sample("abcdef", 3)]
                    for entry in entries:
                        entry["step"] = numbers.randrange(5)
                    body = {"run_id": run, "metrics": entries, "tags": tags, "params": params}
                    assert await side.post(BATCH, body) == EMPTY

            await asyncio.gather(*(write(writer) for writer in range(8)))

    asyncio.run(main())
    wrong = """select count(*) from (select distinct on (run_uuid, key) * from metrics
        order by run_uuid, key, step desc, timestamp desc, value desc) m
        full join latest_metrics l using (run_uuid, key)
        where (m.step, m.timestamp, m.value, m.is_nan) is distinct from (l.step, l.timestamp, l.value, l.is_nan)"""
    assert ask(twin.uris[0], wrong) == [(0,)]
    assert ask(twin.uris[0], "select count(distinct key) from params") == [(6,)]


def test_killed_connections_lose_no_acknowledged_write_and_write_nothing_twice(twin: Twin) -> None:
    """Connections are killed while 8 writers log and make runs; what is answered is there, and every run once."""
    kill = f"""select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'homeport-fast-lane'
        and datname = '{twin.uris[0].rpartition("/")[2]}'"""
    acknowledged: list[tuple[str, int]] = []
    refused: list[object] = []
    made: list[str] = []

    async def main() -> None:
        async with ours(twin.uris[0]) as lane:
            run = await make(lane)
            busy = True

            async def write(writer: int) -> None:
                step = 0
                while busy:
                    step += 1
                    answer = await lane.post(METRIC, metric(run, f"w{writer}", 1, step))
                    if answer == EMPTY:
                        acknowledged.append((f"w{writer}", step))
                    else:
                        refused.append(answer)
                    named = await lane.post("runs/create", {"experiment_id": "0", "run_name": f"{writer}.{step}"})
                    if named is not None:
                        made.append(f"{writer}.{step}")

            tasks = [asyncio.create_task(write(writer)) for writer in range(8)]
            for _ in range(5):
                before = len(acknowledged)
                while len(acknowledged) < before + 40:  # writing goes on after each kill
                    await asyncio.sleep(0.01)
                await asyncio.to_thread(ask, twin.uris[0], kill)
            busy = False
            await asyncio.gather(*tasks)

    asyncio.run(main())
    there = set(ask(twin.uris[0], "select key, step from metrics"))
    assert set(acknowledged) <= there
    assert len(there) <= len(acknowledged) + len(refused)
    names = [name for (name,) in ask(twin.uris[0], "select name from runs where name ~ '^[0-9]'")]
    assert len(names) == len(set(names))
    assert set(made) <= set(names)


def test_while_the_database_is_away_requests_are_left_to_mlflow_and_then_written_again(twin: Twin) -> None:
    name = twin.uris[0].rpartition("/")[2]
    elsewhere = twin.uris[1]

    async def main() -> None:
        async with ours(twin.uris[0]) as lane:
            run = await make(lane)
            ask(elsewhere, f"alter database {name} allow_connections false")
            ask(elsewhere, f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'")
            try:
                async with asyncio.timeout(5):
                    while not is_lost(lane.writes.groups[0]._kept[0]):
                        await asyncio.sleep(0.01)
                assert await lane.post(METRIC, metric(run, "m", 1)) is None
            finally:
                ask(elsewhere, f"alter database {name} allow_connections true")
            assert await lane.post(METRIC, metric(run, "m", 2)) == EMPTY

    asyncio.run(main())
    assert ask(twin.uris[0], "select value from metrics") == [(2.0,)]


def test_a_changed_table_is_noticed(twin: Twin) -> None:
    """A migration makes plans stale; the next write succeeds all the same."""

    async def main() -> None:
        async with ours(twin.uris[0]) as lane:
            run = await make(lane)
            assert await lane.post(METRIC, metric(run, "m", 1)) == EMPTY
            assert await lane.post("runs/update", {"run_id": run, "status": "FAILED"}) is not None
            ask(twin.uris[0], "alter table runs alter column name type varchar(300)")
            ask(twin.uris[0], "alter table metrics add column further int")
            assert await lane.post(METRIC, metric(run, "m", 2)) == EMPTY
            assert await lane.post("runs/update", {"run_id": run, "run_name": "x"}) is not None

    asyncio.run(main())
    assert ask(twin.uris[0], "select count(*) from metrics") == [(2,)]
