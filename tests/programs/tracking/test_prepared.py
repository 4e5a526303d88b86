"""The schema that is written down is what MLflow's own migrations make, to the last letter, and only that."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tools.prepared_schema import dump, statements

from homeport.tracking import newest_runs, prepared, schema
from homeport.tracking.backend_store import parse
from homeport.tracking.migrate import migrate as by_mlflow
from homeport.tracking.schema import Step
from tests.programs.database.programs import Program
from tests.programs.database.server import Server
from tests.programs.tracking.conftest import uri
from tests.programs.tracking.guarded import ACCOUNTS, ADMIN
from tests.programs.tracking.test_migrate import ask, imports_mlflow

Migrate = Callable[..., Program]


@pytest.fixture(scope="module")
def written() -> str:
    assert prepared.file().is_file(), "make prepared-schema"
    return prepared.file().read_text(encoding="utf-8")


def test_it_makes_the_database_that_mlflow_makes(empty: str, migrate: Migrate, written: str) -> None:
    assert not imports_mlflow(migrate(empty, PYTHONPROFILEIMPORTTIME="1").wait())
    ask(empty, f"DROP INDEX {newest_runs.NAME}")  # which is ours
    assert statements(dump(empty)) == written


def test_users_come_without_mlflow_too(empty: str, migrate: Migrate) -> None:
    assert not imports_mlflow(migrate(empty, PYTHONPROFILEIMPORTTIME="1", **ACCOUNTS).wait())
    assert set(ask(empty, "SELECT username FROM users")) >= {(ADMIN,)}


@pytest.mark.slow
@pytest.mark.parametrize("chain", [schema.RUNS, schema.USERS])
def test_both_databases_are_the_same_to_the_last_letter(postgres: Server, empty: str, chain: schema.Chain) -> None:
    postgres.ask(f"CREATE DATABASE by_{chain.table}", database="postgres")
    theirs = uri(postgres, f"by_{chain.table}")
    by_mlflow(parse(theirs), Step.CREATE, chain)
    with closing(parse(empty).connect()) as connection:
        assert prepared.create(parse(empty), connection, chain)
    assert dump(empty) == dump(theirs)


def test_in_a_schema_of_its_own_it_is_made_there(empty: str, migrate: Migrate) -> None:
    ask(empty, "CREATE SCHEMA ours")
    ask(empty, f"ALTER ROLE mlflow IN DATABASE {empty.rpartition('/')[2]} SET search_path = ours")
    migrate(empty).wait()
    assert ask(empty, "SELECT DISTINCT schemaname FROM pg_tables WHERE schemaname IN ('ours', 'public')") == [("ours",)]
    assert migrate(empty).wait() == f"schema at head ({schema.head()})\n"


def test_what_an_interrupted_initialisation_left_is_mlflows_to_finish(empty: str, migrate: Migrate) -> None:
    from mlflow.store.db import utils

    engine = utils.create_sqlalchemy_engine(empty)
    utils.InitialBase.metadata.create_all(engine)
    engine.dispose()
    assert imports_mlflow(migrate(empty, PYTHONPROFILEIMPORTTIME="1").wait())
    assert ask(empty, "SELECT version_num FROM alembic_version") == [(schema.head(),)]


def test_a_refused_statement_leaves_nothing_and_mlflow_goes_on(
    empty: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, written: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from homeport.tracking import migrate as job

    broken = tmp_path / "broken.sql"
    broken.write_text(written + "SELECT no_such_function();\n")
    monkeypatch.setattr(prepared, "file", lambda _chain: broken)
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", empty)
    job.main()
    said = capsys.readouterr()
    assert "the prepared schema was refused, MLflow migrates by itself" in said.err
    assert "no_such_function" in said.err
    ask(empty, f"DROP INDEX {newest_runs.NAME}")
    assert statements(dump(empty)) == written


def test_another_mlflow_migrates_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "version", lambda _name: "3.18.0")
    assert not prepared.file().exists()
