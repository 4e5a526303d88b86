"""experiments/create leaves the rows that MLflow leaves, makes each name once, and makes nothing twice."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from homeport.tracking.fast.database import Database
from homeport.tracking.fast.writes.experiment_statements import Created, New
from homeport.tracking.fast.writes.experiments import is_plain
from homeport.tracking.fast.writes.group import Item
from homeport.tracking.fast.writes.table import Writes
from tests.programs.tracking.fast.twin import ENVIRON, Twin, ask, ours

CREATE = "experiments/create"
PAIRS = [{"key": "mlflow.note.content", "value": "x" * 20000}, {"key": "a/b c:d", "value": "é"}, {"key": "bare"}]


def number(answer: Any) -> int:
    return int(orjson.loads(answer.body)["experiment_id"])


def test_experiments_are_made_as_mlflow_makes_them(twin: Twin) -> None:
    async def main() -> None:
        async with ours(twin.uris[0]) as lane:
            for body in (
                {"name": "plain"},
                {"name": " é 😀 'quoted' \n"},
                {"name": "😀" * 256},
                {"name": "empty", "artifact_location": "", "tags": []},
                {"name": "tagged", "tags": PAIRS},
                {"name": "elsewhere", "artifact_location": "s3://bucket/a/", "tags": PAIRS[1:]},
                {"name": "bucket", "artifact_location": "s3://bucket"},
                {"name": "here", "artifact_location": "mlflow-artifacts:/mine"},
                {"name": "directory", "artifact_location": "/a/b"},
                {"name": "long", "artifact_location": "s3://" + "a" * 251},
            ):
                assert await twin.same(lane, CREATE, body), body
            twin.assert_same_rows()
            await twin.run(lane, experiment="3")  # below the location that was made

    asyncio.run(main())
    twin.assert_same_rows()


def test_what_mlflow_refuses_is_left_to_it_and_nothing_is_written(twin: Twin) -> None:
    ask(twin.uris[0], "insert into experiments (name, lifecycle_stage) values ('gone', 'deleted')")
    ask(twin.uris[1], "insert into experiments (name, lifecycle_stage) values ('gone', 'deleted')")
    twice = [{"key": "k", "value": "1"}, {"key": "k", "value": "2"}]

    async def main() -> None:
        async with ours(twin.uris[0]) as lane:
            for body in (
                {"name": "Default"}, {"name": "gone"}, {"name": ""}, {}, {"name": None}, {"name": 7}, {"name": ["a"]},
                {"name": "x" * 257}, {"name": "x" * 501}, {"name": "a\0b"}, {"name": "a", "tags": twice},
                {"name": "a", "tags": [{"value": "no key"}]}, {"name": "a", "tags": [{"key": "bad*"}]},
                {"name": "a", "tags": [{"key": "k", "value": "x" * 20001}]}, {"name": "a", "tags": {"k": "v"}},
                {"name": "a", "tags": [7]}, {"name": "a", "artifact_location": 7}, {"name": "a", "tags": "k"},
                {"name": "a", "artifact_location": "s3://b/a#f"}, {"name": "a", "artifact_location": "runs:/x"},
                {"name": "a", "artifact_location": "http://169.254.169.254/"},
                {"name": "a", "artifact_location": "s3://b/" + "a" * 2048},
                {"name": "a", "tags": [{"key": "mlflow.trace.archivalRetention", "value": "soon"}]},
            ):  # fmt: skip
                await twin.refused(lane, CREATE, body)

    asyncio.run(main())
    assert ask(twin.uris[0], "select name from experiments order by 1") == [("Default",), ("gone",)]
    assert ask(twin.uris[0], "select * from experiment_tags") == []


UNUSUAL: list[tuple[dict[str, str], dict[str, Any]]] = [
    ({}, {"name": "a"}),
    ({"_MLFLOW_SERVER_ARTIFACT_ROOT": "file:///a b"}, {"name": "a"}),
    ({"_MLFLOW_SERVER_ARTIFACT_ROOT": "s3://bucket/../x"}, {"name": "a"}),
    ({**ENVIRON, "MLFLOW_ARTIFACT_LOCATION_MAX_LENGTH": "5"}, {"name": "a", "artifact_location": "s3://bucket"}),
    (ENVIRON, {"name": "a", "artifact_location": "a/relative/path"}),
    (ENVIRON, {"name": "a", "artifact_location": "file:///a"}),
    (ENVIRON, {"name": "a", "artifact_location": None}),
    (ENVIRON, {"name": "a", "tags": None}),
    (ENVIRON, {"name": "a", "unknown": 1}),
    (ENVIRON, {"name": "a", "tags": [{"key": "mlflow.customView.x", "value": "{}"}]}),
]


def test_what_is_unusual_is_left_to_mlflow(twin: Twin) -> None:
    async def main() -> None:
        for environ, body in UNUSUAL:
            async with ours(twin.uris[0], environ) as lane:
                assert await lane.post(CREATE, body) is None, (environ, body)
        async with ours(twin.uris[0], UNUSUAL[3][0]) as lane:  # a limit that is no matter where none is given
            assert await lane.post(CREATE, {"name": "b"}) is not None

    asyncio.run(main())
    assert ask(twin.uris[0], "select name from experiments order by 1") == [("Default",), ("b",)]


@pytest.mark.parametrize("root", ["mlflow-artifacts:/", "s3://bucket", "s3://bucket/", "s3://b/a", "/shared", "/a/b/"])
def test_the_location_of_an_experiment_is_where_mlflow_would_put_it(root: str) -> None:
    from mlflow.utils.uri import append_to_uri_path, resolve_uri_if_local

    assert is_plain(root)
    assert New("a", "", root=root, number=7).place == append_to_uri_path(resolve_uri_if_local(root), "7")


def test_of_one_name_made_at_once_one_is_made_and_the_others_are_left_to_mlflow(twin: Twin) -> None:
    """By two fronts on one database, with other names around it."""

    async def main() -> None:
        async with ours(twin.uris[0]) as lane, ours(twin.uris[0]) as second:
            answers = await asyncio.gather(
                *(side.post(CREATE, {"name": "same"}) for side in (lane, second) for _ in range(8)),
                *(side.post(CREATE, {"name": f"{nth % 20}"}) for nth in range(40) for side in (lane, second)),
            )
            assert sum(answer is not None for answer in answers[:16]) == 1
            made = [answer for answer in answers if answer is not None]
            assert len({number(answer) for answer in made}) == len(made) == 21

    asyncio.run(main())
    assert ask(twin.uris[0], "select count(*), count(distinct name) from experiments") == [(22, 22)]
    assert ask(twin.uris[0], "select count(*) from experiments where artifact_location = 'mlflow-artifacts:/' || "
               "experiment_id") == [(22,)]  # fmt: skip


def test_a_second_attempt_finds_what_the_first_one_wrote_and_only_that(twin: Twin) -> None:
    """The connection was lost after the commit: the name is taken by this very request, or by another's."""

    kind = Created()

    def item(name: str, number: int | None = None) -> Item:
        return Item(kind, name, New(name, "", {"k": name}, "mlflow-artifacts:/", 1, number), 1, 1)

    async def main() -> None:
        async with ours(twin.uris[0]) as lane, lane.database.connection() as connection:
            mine, other, late = item("mine"), item("other"), item("late")
            first = await kind.write(connection, [mine, other], False)
            assert None not in first
            assert await kind.write(connection, [mine, other], True) == first
            again = await kind.write(connection, [item("mine"), late, mine], True)
            assert [again[0], number(again[1]), again[2]] == [None, late.data.number, first[0]]
            ask(twin.uris[0], "insert into experiments (name, lifecycle_stage) values ('taken', 'active')")
            assert await kind.write(connection, [item("taken", 1000)], True) == [None]

    asyncio.run(main())
    assert ask(twin.uris[0], "select e.name, t.value from experiments e join experiment_tags t using (experiment_id)"
               " order by 1") == [(name, name) for name in ("late", "mine", "other")]  # fmt: skip


def test_killed_connections_make_no_experiment_twice_and_lose_none(twin: Twin) -> None:
    kill = f"""select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'homeport-fast-lane'
        and datname = '{twin.uris[0].rpartition("/")[2]}'"""
    told: dict[str, Any] = {}

    async def main() -> None:
        async with ours(twin.uris[0]) as lane:
            busy = True

            async def make(writer: int) -> None:
                nth = 0
                while busy:
                    nth += 1
                    told[f"{writer}.{nth}"] = await lane.post(CREATE, {"name": f"{writer}.{nth}", "tags": PAIRS[1:]})

            tasks = [asyncio.create_task(make(writer)) for writer in range(8)]
            for _ in range(5):
                before = len(told)
                while len(told) < before + 40:  # it goes on after each kill
                    await asyncio.sleep(0.01)
                await asyncio.to_thread(ask, twin.uris[0], kill)
            busy = False
            await asyncio.gather(*tasks)

    asyncio.run(main())
    there = dict(ask(twin.uris[0], "select name, experiment_id from experiments where name <> 'Default'"))
    made = {name: number(answer) for name, answer in told.items() if answer is not None and answer.status == 200}
    left = {name for name, answer in told.items() if answer is None}
    assert made.items() <= there.items()
    assert not left & there.keys(), "MLflow would say of them that they are there already"
    assert ask(twin.uris[0], "select count(*) from experiment_tags") == [(2 * len(there),)]


def test_with_logins_on_creation_is_not_offered() -> None:
    """Upstream gives the creator rights on what was made, after its answer."""
    offered = {
        said: {route.name for route in Writes(Database("postgresql://h/d"), {"HOMEPORT_AUTH": said}).routes()}
        for said in ("basic", "auto", "off", "")
    }
    assert {said for said, names in offered.items() if "create-experiment" in names} == {"off", ""}
