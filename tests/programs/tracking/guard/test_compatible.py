"""The fast lane is on only on a schema that MLflow's own migrations made, and says why it is off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from homeport.tracking.fast import compatible, lane, schema
from homeport.tracking.fast.database import Database
from homeport.tracking.fast.lane import Lane
from homeport.tracking.front.private import Private
from tests.programs.database.server import Server
from tests.programs.tracking.conftest import uri

pytestmark = pytest.mark.slow

ON = ""
SPOILED = (
    ("alter table runs add column mine int", "not as MLflow makes it"),
    ("alter table metrics drop column step", "not as MLflow makes it"),
    ("alter table params alter column value type text", "not as MLflow makes it"),
    ("alter table latest_metrics drop constraint latest_metric_pk", "not as MLflow makes it"),
    ("alter table tags enable row level security", "tags has row level security"),
    ("create rule deaf as on insert to params do instead nothing", "params has rules"),
    (
        "create function f() returns trigger language plpgsql as 'begin return null; end';"
        " create trigger t before insert on metrics for each row execute function f()",
        "metrics has triggers",
    ),
    ("create table more () inherits (runs)", "runs is part of another table, or has parts"),
    ("alter table params rename to real; create view params as select * from real", "params is not a plain table"),
    ("drop table tags", "there is no table tags"),
    ("create schema first; create table first.tags (key text); alter database {} set search_path to first, public",
     "tags is found in another schema"),
    ("update alembic_version set version_num = 'feedfacecafe'", "the schema is at feedfacecafe"),
    ("insert into alembic_version values ('feedfacecafe')", "feedfacecafe"),
    ("drop table alembic_version", "no schema of MLflow's yet"),
    ("alter database {} set default_transaction_read_only to on", "only lets itself be read"),
    ("insert into experiments (name, workspace, lifecycle_stage) values ('theirs', 'team', 'active')", "workspaces"),
)  # fmt: skip


async def found(url: str) -> str:
    database = Database(url, size=1)
    await database.open()
    try:
        return await compatible.reason(database)
    finally:
        await database.close()


def spoil(postgres: Server, name: str, statement: str) -> None:
    postgres.ask(statement.format(name), database=name)


def test_the_schema_that_the_installed_mlflow_makes_is_the_verified_one(
    postgres: Server, copies: Callable[[], str]
) -> None:
    assert asyncio.run(found(uri(postgres, copies()))) == ON


@pytest.mark.parametrize(("statement", "why"), SPOILED)
def test_a_schema_that_does_otherwise_than_it_says_turns_it_off_with_the_reason(
    postgres: Server, copies: Callable[[], str], statement: str, why: str
) -> None:
    name = copies()
    spoil(postgres, name, statement)
    assert why in asyncio.run(found(uri(postgres, name)))


def test_every_table_that_is_looked_at_is_one_of_mlflows() -> None:
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion
    from mlflow.store.tracking.dbmodels.models import SqlRun

    assert set(schema.TABLES) <= set(SqlRun.metadata.tables) | set(SqlModelVersion.metadata.tables)


@pytest.mark.parametrize(
    ("environ", "url", "why"),
    [
        ({"HOMEPORT_FASTLANE": "off"}, "postgresql://h/d", "HOMEPORT_FASTLANE is off"),
        ({"HOMEPORT_FASTLANE": " FALSE "}, "postgresql://h/d", "HOMEPORT_FASTLANE is off"),
        ({"MLFLOW_ENABLE_WORKSPACES": "True"}, "postgresql://h/d", "workspaces are enabled"),
        ({"MLFLOW_READ_REPLICA_BACKEND_STORE_URI": "postgresql://r/d"}, "postgresql://h/d", "replica"),
        ({"_MLFLOW_SERVER_REGISTRY_STORE": "postgresql://r/d"}, "postgresql://h/d", "registry is in another store"),
        ({"_MLFLOW_STATIC_PREFIX": "/mlflow"}, "postgresql://h/d", "static prefix"),
        ({"_MLFLOW_SERVER_REGISTRY_STORE": "postgresql://h/d"}, "postgresql://h/d", ON),
        ({}, "postgresql+psycopg2://h/d", ON),
    ],
)
def test_settings_that_change_what_mlflow_does_turn_it_off(environ: dict[str, str], url: str, why: str) -> None:
    found = compatible.unwanted(environ, url)
    assert why in found
    assert bool(found) == bool(why)


@pytest.mark.parametrize("url", ["mysql+pymysql://h/d", "sqlite:////tmp/mlflow.db", "mssql+pyodbc://h/d", "d"])
def test_other_databases_pass_through(url: str) -> None:
    made = Lane(url, {}, Private(("/nowhere",)))
    assert not made.state.on
    assert "not PostgreSQL" in made.state.why


def test_a_plugin_for_such_databases_turns_it_off(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "their_store-1.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: their-store\nVersion: 1\n")
    (told / "entry_points.txt").write_text("[mlflow.tracking_store]\npostgresql = theirs:Store\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "theirs:Store" in compatible.unwanted({}, "postgresql://h/d")
    assert compatible.unwanted({}, "mysql://h/d") == ON


def test_a_schema_that_changes_under_a_running_lane_turns_it_off_and_its_return_on(
    postgres: Server, copies: Callable[[], str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = copies()
    monkeypatch.setattr(lane, "_LOOK_SECONDS", 0.05)

    async def live() -> None:
        made = Lane(uri(postgres, name), {}, Private(("/nowhere",)))
        made.start()
        await until(lambda: made.state.on)
        assert made.table.find("POST", "/api/2.0/mlflow/runs/log-metric")
        spoil(postgres, name, "alter table runs add column mine int")
        await until(lambda: not made.state.on)
        assert made.table.find("POST", "/api/2.0/mlflow/runs/log-metric") is None
        spoil(postgres, name, "alter table runs drop column mine")
        await until(lambda: made.state.on)
        async with asyncio.timeout(10):
            await made.close()

    asyncio.run(live())
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("fast lane:")]
    assert [line.split(",")[0] for line in said] == ["fast lane: on", "fast lane: off", "fast lane: on"]


def test_a_database_that_is_away_does_not_turn_an_open_lane_off(
    postgres: Server, copies: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = copies()
    monkeypatch.setattr(lane, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(lane, "_AGAIN_SECONDS", 0.05)

    async def live() -> None:
        made = Lane(uri(postgres, name), {}, Private(("/nowhere",)))
        made.start()
        await until(lambda: made.state.on)
        postgres.ask(f"alter database {name} with allow_connections false", database="postgres")
        ended = f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
        postgres.ask(ended, database="postgres")
        with pytest.raises(compatible.DATABASE_ERRORS):
            await made.probe()
        assert made.state.on
        postgres.ask(f"alter database {name} with allow_connections true", database="postgres")
        await until_answers(made)
        assert made.state.on
        await made.close()

    asyncio.run(live())


def test_a_lane_that_waits_for_a_database_or_for_a_locked_table_closes_in_time(
    postgres: Server, copies: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = copies()
    monkeypatch.setattr(lane, "_CLOSE_SECONDS", 0.2)

    async def live() -> None:
        nowhere = Lane("postgresql://mlflow@127.0.0.1:1/mlflow", {}, Private(("/nowhere",)))
        nowhere.start()
        await until(lambda: "does not answer" in nowhere.state.why)
        made = Lane(uri(postgres, name), {}, Private(("/nowhere",)))
        made.start()
        await until(lambda: made.state.on)
        assert made.database is not None
        waiting = asyncio.create_task(made.database.rows("select pg_sleep(60)"))
        await until(lambda: made.database is not None and made.database.size[0] > made.database.size[1])
        async with asyncio.timeout(5):
            await nowhere.close()
            await made.close()
        with pytest.raises((*compatible.DATABASE_ERRORS, OSError, asyncio.CancelledError)):
            await waiting

    asyncio.run(live())


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not check():
            await asyncio.sleep(0.02)


async def until_answers(made: Lane) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await made.probe()
            except (OSError, *compatible.DATABASE_ERRORS):
                await asyncio.sleep(0.05)
            else:
                return


def test_another_version_is_tried_only_where_it_is_named_with_its_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compatible, "installed", lambda: "99.0.0")
    assert "MLflow is 99.0.0; verified: " in compatible.unwanted({}, "postgresql://h/d")
    for tried in ("99.0.0", "98.0.0 revision shape", "99.0.0 revision", ""):
        monkeypatch.setenv(compatible.TRIED, tried)
        assert compatible.unwanted({}, "postgresql://h/d"), tried
    monkeypatch.setenv(compatible.TRIED, "99.0.0 revision shape")
    assert compatible.unwanted({}, "postgresql://h/d") == ON
