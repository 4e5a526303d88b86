"""The schema job adds one index to MLflow's tables, searches use it, and nothing depends on it."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from homeport.tracking import schema
from homeport.tracking.fast.reads.plans import PLAIN
from homeport.tracking.newest_runs import NAME
from tests.programs.database.programs import Program
from tests.programs.tracking.test_migrate import ask, imports_mlflow

Migrate = Callable[..., Program]
_INDEXES = "SELECT indexname FROM pg_indexes WHERE tablename = 'runs' ORDER BY 1"
_RUNS = """INSERT INTO runs (run_uuid, experiment_id, lifecycle_stage, start_time)
    SELECT md5(r::text), 1 + r % 2, 'active', CASE WHEN r % 1997 > 0 THEN r END FROM generate_series(1, 20000) r"""
_EXPERIMENTS = (
    "INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (1, 'one', 'active'), (2, 'two', 'active')"
)
_PAGE = {"$1": "19000", "$2": "'{1}'", "$3": "'{active}'", "$4": "0", "$5": "101"}


def test_a_new_database_has_it_once_whoever_raced(at_head: str) -> None:
    assert [name for (name,) in ask(at_head, _INDEXES)] == [NAME, "run_pk"]


def test_an_older_database_gets_it_without_an_import_of_mlflow(at_head: str, migrate: Migrate) -> None:
    ask(at_head, f"DROP INDEX {NAME}")
    said = migrate(at_head, PYTHONPROFILEIMPORTTIME="1").wait()
    assert f"schema at head ({schema.head()})\n" in said
    assert not imports_mlflow(said)
    assert (NAME,) in ask(at_head, _INDEXES)


def test_what_postgresql_knows_of_an_empty_table_stays_nothing(at_head: str, migrate: Migrate) -> None:
    # Told that it is empty, PostgreSQL looks for the run of each new tag by reading all runs, for a minute.
    known = "SELECT reltuples < 0 FROM pg_class WHERE oid = 'runs'::regclass"
    assert ask(at_head, known) == [(True,)]
    ask(at_head, f"DROP INDEX {NAME}")
    ask(at_head, _EXPERIMENTS)
    ask(at_head, _RUNS)
    migrate(at_head).wait()
    assert ask(at_head, known) == [(False,)]
    looked = f"SELECT count(*) > 0 FROM pg_stats WHERE tablename = '{NAME}'"
    assert ask(at_head, looked) == [(True,)]


def test_who_may_not_make_it_is_told_and_goes_on_without(at_head: str, migrate: Migrate) -> None:
    ask(at_head, f"DROP INDEX {NAME}")
    role = urlsplit(at_head).path[1:]
    ask(at_head, f"CREATE ROLE {role} LOGIN PASSWORD 'guest'")
    ask(at_head, f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    said = migrate(f"postgresql://{role}:guest@{urlsplit(at_head).netloc.rpartition('@')[2]}/{role}").wait()
    why = f"searches of runs go without the index {NAME}: must be owner of table runs"
    assert said.splitlines() == [why, f"schema at head ({schema.head()})"]
    assert (NAME,) not in ask(at_head, _INDEXES)


def test_a_writer_that_does_not_end_delays_it_and_no_start(at_head: str, migrate: Migrate) -> None:
    import psycopg2

    ask(at_head, f"DROP INDEX {NAME}")
    ask(at_head, _EXPERIMENTS)
    writer = psycopg2.connect(at_head.replace("+psycopg2", ""))
    try:
        with writer.cursor() as cursor:
            cursor.execute(_RUNS)
            said = migrate(at_head).wait()
        assert "canceling statement due to lock timeout" in said
        assert "schema at head" in said
    finally:
        writer.close()
    assert migrate(at_head).wait() == f"schema at head ({schema.head()})\n"
    assert (NAME,) in ask(at_head, _INDEXES)


def test_a_page_of_one_experiment_reads_its_own_newest_runs_only(at_head: str) -> None:
    ask(at_head, _EXPERIMENTS)
    ask(at_head, _RUNS)
    ask(at_head, "ANALYZE runs")
    statement = PLAIN["runs"].statement
    for place, value in _PAGE.items():
        statement = statement.replace(place, value)
    plan = "\n".join(str(line) for (line,) in ask(at_head, f"EXPLAIN {statement}"))
    assert NAME in plan, plan
    condition = next(line for line in plan.splitlines() if "Index Cond" in line)
    assert "experiment_id" in condition, plan
    assert "COALESCE(start_time" in condition, plan
    found = [row[1] for row in ask(at_head, statement)]
    # Those without a start come first, as PostgreSQL has them in descending order.
    assert found[0] is None
    assert found[-1] is not None
    assert int(str(found[-1])) >= 19000  # the lower bound
