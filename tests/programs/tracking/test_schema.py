"""What MLflow's files and a database say about its schema is what MLflow itself would say."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from homeport.errors import HomeportError
from homeport.tracking import schema
from homeport.tracking.schema import State, Step, lineage, plan

KNOWN = {"a": (), "b": ("a",), "c": ("b",), "d": ("b",), "e": ("c", "d")}
MLFLOW = frozenset({"experiments", "runs", "metrics", "params", "tags", "model_versions", "alembic_version"})


def upstream() -> tuple[str, set[str]]:
    """(head, all revisions) as alembic reads them; needs no MLflow import."""
    from alembic.script import ScriptDirectory

    spec = importlib.util.find_spec("mlflow")
    assert spec is not None
    assert spec.origin is not None
    script = ScriptDirectory(str(Path(spec.origin).parent / "store" / "db_migrations"))
    head = script.get_current_head()
    assert head is not None
    return head, {revision.revision for revision in script.walk_revisions()}


def test_the_head_is_the_one_alembic_finds() -> None:
    head, _ = upstream()
    assert schema.head() == head


def test_every_revision_alembic_finds_is_known() -> None:
    head, all_of_them = upstream()
    assert set(schema.revisions()) == all_of_them
    assert set(lineage(None, head, schema.revisions())) == all_of_them


def test_asking_does_not_import_mlflow() -> None:
    asking = "import sys; from homeport.tracking import schema; schema.head(); print('mlflow' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", asking], capture_output=True, text=True, check=True).stdout == "False\n"
    )


def test_a_lineage_comes_in_order_and_without_what_is_there() -> None:
    assert lineage("b", "e", KNOWN) == ("c", "d", "e")
    assert lineage(None, "c", KNOWN) == ("a", "b", "c")
    assert lineage("e", "e", KNOWN) == ()


def refused(state: State) -> HomeportError:
    with pytest.raises(HomeportError) as caught:
        plan(state, KNOWN, "e")
    return caught.value


@pytest.mark.parametrize(
    ("state", "step"),
    [
        (State("e", MLFLOW), Step.NOTHING),
        (State("b", MLFLOW), Step.UPGRADE),
        (State(None, frozenset()), Step.CREATE),
        (State(None, frozenset({"alembic_version"})), Step.CREATE),
        (State(None, frozenset({"experiments", "runs", "tags", "metrics", "params"})), Step.CREATE),
    ],
)
def test_a_database_gets_what_it_needs(state: State, step: Step) -> None:
    assert plan(state, KNOWN, "e") is step


def test_an_unknown_revision_of_mlflow_is_a_newer_one() -> None:
    error = refused(State("z", MLFLOW))
    assert error.code == "SCHEMA_NEWER"
    assert dict(error.evidence) == {"needed": "revision e or an earlier one", "found": "revision z"}


def test_tables_of_another_program_are_named() -> None:
    error = refused(State(None, frozenset(f"t{number}" for number in range(7))))
    assert error.code == "DATABASE_NOT_EMPTY"
    assert dict(error.evidence)["found"] == "t0, t1, t2, t3, t4 and 2 more"


def test_another_program_that_uses_alembic_is_not_a_newer_mlflow() -> None:
    assert refused(State("z", frozenset({"dag_run", "alembic_version"}))).code == "DATABASE_NOT_EMPTY"


def test_a_table_called_tags_alone_is_not_mlflows() -> None:
    assert refused(State(None, frozenset({"tags"}))).code == "DATABASE_NOT_EMPTY"


def test_a_database_at_head_says_so(at_head: str) -> None:
    assert schema.current(at_head) == schema.head()


def test_an_empty_database_has_no_revision(empty: str) -> None:
    assert schema.current(empty) is None


def test_a_file_that_is_not_there_has_no_revision_and_is_not_made(tmp_path: Path) -> None:
    assert schema.current(f"sqlite:///{tmp_path}/none.db") is None
    assert list(tmp_path.iterdir()) == []
