"""MLflow's schemas: which revision the installed MLflow wants, which one a database has, and what that calls for.

There are two, each with a chain of revisions of its own: runs and models, and the users of basic-auth. Read from
MLflow's migration files as text, so that asking does not import MLflow. Refuses to change anything.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from homeport.errors import HomeportError
from homeport.tracking.backend_store import BackendStore, Connection, parse, rows
from homeport.tracking.refusal import refusal

# mlflow 3.17.2, store/tracking/dbmodels/initial_models.py: what is there before the first revision is noted down
_INITIAL_TABLES = frozenset({"experiments", "runs", "tags", "metrics", "params"})
_MLFLOW_TABLES = frozenset({"experiments", "runs", "metrics"})
# mlflow 3.17.2, server/auth/db/utils.py: before 3.6 the tables of the users had no revision
_USER_TABLES = frozenset({"users", "experiment_permissions"})
# server/auth/db/migrations/versions/8606fa83a998: what the first revision makes, those that refer to others first
FIRST_USER_TABLES = ("registered_model_permissions", "experiment_permissions", "users")
_SHOWN_TABLES = 5
_TABLES = {
    "postgresql": "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()",
    "mysql": "SELECT table_name FROM information_schema.tables WHERE table_schema = database()",
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
}

Revisions = Mapping[str, tuple[str, ...]]  # revision -> the revisions it follows


class Step(StrEnum):
    """What a database needs so that its schema is at head."""

    NOTHING = "nothing"
    CREATE = "create"
    UPGRADE = "upgrade"


@dataclass(frozen=True)
class Chain:
    """One schema of MLflow's: its migrations, below the package's directory, and the table its revision stands in."""

    directory: str
    table: str


RUNS = Chain("store/db_migrations/versions", "alembic_version")
USERS = Chain("server/auth/db/migrations/versions", "alembic_version_auth")


@dataclass(frozen=True)
class State:
    """What a database holds: MLflow's revision, None where none is noted down, and all table names."""

    revision: str | None
    tables: frozenset[str]


def head(chain: Chain = RUNS) -> str:
    """The revision the installed MLflow wants.

    Raises:
        HomeportError: MLFLOW_UNREADABLE when there is no MLflow, or not exactly one head.
    """
    known = revisions(chain)
    followed = {earlier for follows in known.values() for earlier in follows}
    heads = sorted(known.keys() - followed)
    if len(heads) != 1:
        raise _unreadable(f"{len(heads)} heads among {len(known)} revisions: {', '.join(heads)}")
    return heads[0]


@cache
def revisions(chain: Chain = RUNS) -> Revisions:
    """Every revision of the installed MLflow and what it follows.

    Raises:
        HomeportError: MLFLOW_UNREADABLE.
    """
    spec = importlib.util.find_spec("mlflow")  # does not import it
    if spec is None or spec.origin is None:
        raise _unreadable("the package mlflow is not installed")
    directory = Path(spec.origin).parent / chain.directory
    found = dict(_revision(file) for file in sorted(directory.glob("*.py")) if file.name != "__init__.py")
    if not found:
        raise _unreadable(f"no migrations in {directory}")
    return found


def current(uri: str) -> str | None:
    """The revision a database is at; None where none is noted down.

    Raises:
        HomeportError: DATABASE_* when it cannot be asked.
    """
    store = parse(uri)
    if store.dialect == "sqlite" and not store.file.exists():
        return None
    connection = store.connect()
    try:
        return state(store, connection).revision
    finally:
        connection.close()


def state(store: BackendStore, connection: Connection, chain: Chain = RUNS) -> State:
    """What the database behind the connection holds.

    Raises:
        HomeportError: SCHEMA_UNREADABLE when several revisions are noted down, DATABASE_* when it cannot be asked.
    """
    try:
        tables = frozenset(str(name) for (name,) in rows(connection, _TABLES[store.dialect]))
        return State(revision(connection, chain) if chain.table in tables else None, tables)
    except HomeportError:
        raise
    except Exception as error:  # each driver has classes of its own
        raise refusal(error, store) from error


def revision(connection: Connection, chain: Chain = RUNS) -> str | None:
    """The revision noted down in a database that has a table for it.

    Raises:
        HomeportError: SCHEMA_UNREADABLE when several are.
    """
    noted = [str(value) for (value,) in rows(connection, f"SELECT version_num FROM {chain.table}")]  # noqa: S608 - ours
    if len(noted) > 1:
        raise HomeportError(
            code="SCHEMA_UNREADABLE",
            what="the database notes down several schema revisions at once",
            evidence=(("needed", f"one row in {chain.table}"), ("found", ", ".join(noted))),
            why="a migration was interrupted half-way, or another program uses the same database",
            fix="restore your backup of the database",
        )
    return noted[0] if noted else None


def plan(found: State, known: Revisions, wanted: str) -> Step:
    """What a database in that state needs.

    Raises:
        HomeportError: SCHEMA_NEWER, or DATABASE_NOT_EMPTY when the tables are another program's.
    """
    tables = frozenset(name for name in found.tables if not name.startswith("alembic_"))
    if found.revision == wanted:
        return Step.NOTHING
    if found.revision in known:
        return Step.UPGRADE
    if found.revision is not None and tables >= _MLFLOW_TABLES:
        raise _newer(found.revision, wanted)
    # An initialisation that was interrupted leaves the initial tables, without a revision.
    if not tables or (found.revision is None and "experiments" in tables and tables <= _INITIAL_TABLES):
        return Step.CREATE
    raise _foreign(tables)


def plan_users(found: State, known: Revisions, wanted: str) -> Step:
    """What a database in that state needs to hold the users of basic-auth, beside MLflow's runs.

    Raises:
        HomeportError: SCHEMA_NEWER, or DATABASE_NOT_EMPTY when a table of users is another program's.
    """
    if found.revision == wanted:
        return Step.NOTHING
    if found.revision in known:
        return Step.UPGRADE
    if found.revision is not None:
        raise _newer(found.revision, wanted)
    if "users" not in found.tables or USERS.table in found.tables:
        return Step.CREATE  # with a table for revisions and none in it, a first one was interrupted
    if found.tables >= _USER_TABLES:
        return Step.UPGRADE  # of before MLflow 3.6; upstream takes it for its first revision
    raise _foreign(frozenset({"users"}))


def lineage(since: str | None, until: str, known: Revisions) -> tuple[str, ...]:
    """The revisions from `since`, exclusive, to `until`, each after all it follows; None: from the first."""
    done = set() if since is None else set(lineage(None, since, known))
    order: list[str] = []

    def visit(name: str) -> None:
        if name not in done:
            done.add(name)
            for earlier in known[name]:
                visit(earlier)
            order.append(name)

    visit(until)
    return tuple(order)


def _revision(file: Path) -> tuple[str, tuple[str, ...]]:
    """(revision, the revisions it follows) of one migration file."""
    values: dict[str, object] = {}
    for node in ast.parse(file.read_text(encoding="utf-8"), filename=str(file)).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id in {"revision", "down_revision"}:
            value = getattr(node, "value", None)
            values[target.id] = ast.literal_eval(value) if value is not None else None
    own, follows = values.get("revision"), values.get("down_revision")
    if not isinstance(own, str):
        raise _unreadable(f"no revision in {file.name}")
    if follows is None:
        return own, ()
    return own, (follows,) if isinstance(follows, str) else tuple(str(one) for one in follows)  # type: ignore[attr-defined]  # alembic: a string or a sequence


def _newer(found: str, wanted: str) -> HomeportError:
    return HomeportError(
        code="SCHEMA_NEWER",
        what="the database was made or upgraded by a newer MLflow than this one",
        evidence=(("needed", f"revision {wanted} or an earlier one"), ("found", f"revision {found}")),
        why="an older MLflow cannot read a newer schema, and a schema is never taken back",
        fix="install the newer MLflow again (pip install --upgrade homeport), or restore a backup of before",
    )


def _foreign(tables: frozenset[str]) -> HomeportError:
    shown = ", ".join(sorted(tables)[:_SHOWN_TABLES])
    more = len(tables) - _SHOWN_TABLES
    found = f"{shown} and {more} more" if more > 0 else shown
    return HomeportError(
        code="DATABASE_NOT_EMPTY",
        what="the database holds tables of another program",
        evidence=(
            ("needed", "an empty database, or MLflow's own"),
            ("found", found),
        ),
        why="MLflow's migrations would mix with them",
        fix="create a database for MLflow alone and name it in MLFLOW_BACKEND_STORE_URI",
    )


def _unreadable(detail: str) -> HomeportError:
    return HomeportError(
        code="MLFLOW_UNREADABLE",
        what="the installed MLflow's schema cannot be told",
        evidence=(("found", detail),),
        why="the package mlflow is missing or damaged",
        fix="install Homeport again: make install",
    )
