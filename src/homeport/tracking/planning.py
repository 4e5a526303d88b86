"""Answers the front's question how a search is said in SQL: upstream's own parsers and clauses make the statement.

It selects ids only, and has placeholders for what differs from search to search: experiments, stages, offset, limit.
Building it reads no database (mlflow 3.17.2: sessions there only make queries), so the front may remember it.
Refuses to know who asks and what is done with the rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import orjson

from homeport.tracking import newest_runs
from homeport.tracking.internal import Headers

_INT64 = 2**63 - 1
_REFUSED = 422, b"{}"


class _UnplannableError(Exception):
    """A search whose values PostgreSQL might take otherwise than upstream writes them."""


def answer(body: bytes, headers: Headers) -> tuple[int, bytes]:
    """The plan of one search.

    Args:
        body: `of` (a key of `_MADE`), `filter` and `order_by`.
        headers: not looked at.

    Returns:
        200 with `statement` and `places`, for each placeholder a `name` or a `value`; or 422: upstream refuses such a
        search, or it is beyond what is surely the same.
    """
    question = orjson.loads(body)
    make = _MADE[question["of"]]
    try:
        return 200, orjson.dumps(_plan(make, question["filter"], question["order_by"]))
    except Exception:  # upstream's parsers let all kinds through; the same request ends there again
        return _REFUSED


def _plan(make: Callable[[str, list[str]], Any], filter_string: str, order_by: list[str]) -> dict[str, Any]:
    from sqlalchemy.dialects.postgresql import asyncpg

    dialect: Any = asyncpg.dialect

    compiled = make(filter_string, order_by).compile(dialect=dialect(), compile_kwargs={"render_postcompile": True})
    names = compiled.positiontup or []
    values = compiled.construct_params(_check=False)
    places = [_place(name, values[name], compiled) for name in names]
    return {"statement": str(compiled), "places": places}


def _place(name: str, value: object, compiled: Any) -> dict[str, Any]:  # noqa: ANN401 - SQLAlchemy's compiled statement
    from sqlalchemy import Float

    if name in {"experiments", "stages", "offset", "limit", "since"}:
        return {"name": name}
    bind = compiled.binds.get(name)
    if isinstance(value, str):
        if "\x00" in value:
            raise _UnplannableError
    elif isinstance(value, bool) or value is None:
        pass
    elif isinstance(value, int):
        if abs(value) > _INT64:
            raise _UnplannableError
    elif isinstance(value, float):
        # A fraction compared with a whole column is exact in upstream's text, not in a float.
        if not math.isfinite(value) or bind is None or not _is_float_column(bind, Float):
            raise _UnplannableError
    else:
        raise _UnplannableError
    return {"value": value}


def _is_float_column(bind: Any, kind: Any) -> bool:  # noqa: ANN401 - SQLAlchemy's
    return isinstance(bind.type, kind) and getattr(bind.type, "precision", None) is not None


def _runs(filter_string: str, order_by: list[str]) -> Any:  # noqa: ANN401 - a statement of SQLAlchemy's
    """As `SqlAlchemyStore._search_runs` builds it, but for ids only.

    Upstream's DISTINCT is kept only where datasets are joined: a filter on a metric, param or tag, and what is ordered
    by, joins at most one row of that key to a run (its primary key is key and run).
    """
    from mlflow.store.db.db_types import POSTGRES
    from mlflow.store.tracking import sqlalchemy_store as store
    from mlflow.store.tracking.dbmodels.models import SqlRun
    from mlflow.utils.search_utils import SearchUtils
    from sqlalchemy import BigInteger, bindparam, func, literal_column, select
    from sqlalchemy.orm import Session

    session = Session()
    parsed = SearchUtils.parse_search_filter(filter_string)
    cases, ordering, sorting_joins = store._get_orderby_clauses(order_by, session)
    attributes, others, datasets = store._get_sqlalchemy_filter_clauses(parsed, session, POSTGRES)
    statement = select(SqlRun, *cases)
    for clause in others:
        statement = statement.join(clause)
    for clause in datasets:
        statement = statement.join(clause, SqlRun.run_uuid == clause.c.destination_id)
    for clause in sorting_joins:
        statement = statement.outerjoin(clause)
    statement = statement.with_only_columns(SqlRun.run_uuid, SqlRun.start_time, *cases, maintain_column_froms=True)
    if datasets:
        statement = statement.distinct()
    if _is_latest_first(order_by):
        # The front knows from when on the runs that matter started; null comes first or last, as ordered. In the very
        # words of the index.
        since = bindparam("since", type_=BigInteger, value=None)
        started = func.coalesce(SqlRun.start_time, literal_column(str(newest_runs.NEVER)))
        statement = statement.filter(started >= since)
    statement = statement.filter(_among(SqlRun.experiment_id, "experiments"), _among(SqlRun.lifecycle_stage, "stages"))
    return _paged(statement.filter(*attributes).order_by(*ordering))


def _is_latest_first(order_by: list[str]) -> bool:
    """Whether the runs that started last come first, whatever decides among equals; that upstream takes it is known."""
    from mlflow.store.tracking.dbmodels.models import SqlRun
    from mlflow.utils.search_utils import SearchUtils

    if not order_by:
        return True
    kind, key, ascending = SearchUtils.parse_order_by_for_search_runs(order_by[0])
    key = SearchUtils.translate_key_alias(key)
    is_number = SearchUtils.is_numeric_attribute(kind, key, "=")
    return is_number and SqlRun.get_attribute_name(key) == "start_time" and not ascending


def _experiments(filter_string: str, order_by: list[str]) -> Any:  # noqa: ANN401 - a statement of SQLAlchemy's
    """As `SqlAlchemyStore._search_experiments` builds it, but for ids only."""
    from mlflow.store.db.db_types import POSTGRES
    from mlflow.store.tracking import sqlalchemy_store as store
    from mlflow.store.tracking.dbmodels.models import SqlExperiment
    from mlflow.utils.search_utils import SearchExperimentsUtils
    from sqlalchemy import select

    parsed = SearchExperimentsUtils.parse_search_filter(filter_string)
    attributes, others = store._get_search_experiments_filter_clauses(parsed, POSTGRES)
    ordering = store._get_search_experiments_order_by_clauses(order_by)
    statement = select(SqlExperiment)
    for clause in others:
        statement = statement.join(clause)
    statement = statement.with_only_columns(SqlExperiment.experiment_id, maintain_column_froms=True)
    return _paged(statement.filter(*attributes, _among(SqlExperiment.lifecycle_stage, "stages")).order_by(*ordering))


def _registered_models(filter_string: str, order_by: list[str]) -> Any:  # noqa: ANN401 - a statement of SQLAlchemy's
    """As `SqlAlchemyStore.search_registered_models` builds it, but for names only."""
    from mlflow.store.db.db_types import POSTGRES
    from mlflow.store.model_registry.dbmodels.models import SqlRegisteredModel
    from mlflow.utils.search_utils import SearchModelUtils

    store = _registry()
    parsed = SearchModelUtils.parse_search_filter(filter_string)
    statement = store._get_search_registered_model_filter_query(None, parsed, POSTGRES)
    statement = statement.with_only_columns(SqlRegisteredModel.name, maintain_column_froms=True)
    return _paged(statement.order_by(*store._parse_search_registered_models_order_by(order_by)))


def _model_versions(filter_string: str, order_by: list[str]) -> Any:  # noqa: ANN401 - a statement of SQLAlchemy's
    """As `SqlAlchemyStore.search_model_versions` builds it, but for names and numbers only."""
    from mlflow.entities.model_registry.model_version_stages import STAGE_DELETED_INTERNAL
    from mlflow.store.db.db_types import POSTGRES
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion
    from mlflow.utils.search_utils import SearchModelVersionUtils

    store = _registry()
    parsed = SearchModelVersionUtils.parse_search_filter(filter_string)
    statement = store._get_search_model_versions_filter_clauses(parsed, POSTGRES)
    columns = SqlModelVersion.name, SqlModelVersion.version
    statement = statement.with_only_columns(*columns, maintain_column_froms=True)
    statement = statement.filter(SqlModelVersion.current_stage != STAGE_DELETED_INTERNAL)
    # Without an order, upstream's own, which stands in its function and not beside it.
    given = order_by or ["last_updated_timestamp DESC", "name ASC", "version_number DESC"]
    return _paged(statement.order_by(*store._parse_search_model_versions_order_by(given)))


def _logged_models(filter_string: str, order_by: list[str]) -> Any:  # noqa: ANN401 - a statement of SQLAlchemy's
    """As `SqlAlchemyStore.search_logged_models` builds it, but for ids only.

    Args:
        filter_string: as given.
        order_by: each JSON, as the handler tells the store: orderings, which have a `field_name`, and datasets.
    """
    from mlflow.store.db.db_types import POSTGRES
    from mlflow.store.tracking.dbmodels.models import SqlLoggedModel
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy.orm import Session

    store = SqlAlchemyStore.__new__(SqlAlchemyStore)  # not opened: of its state it needs the dialect's name only
    store.engine = SimpleNamespace(dialect=SimpleNamespace(name=POSTGRES))
    given = [orjson.loads(text) for text in order_by]
    orderings = [each for each in given if "field_name" in each]
    datasets = [each for each in given if "field_name" not in each]
    session = Session()
    models: Any = _InExperiments(session.query(SqlLoggedModel))
    models = store._apply_filter_string_datasets_search_logged_models(models, session, [], filter_string, datasets)
    models = store._apply_order_by_search_logged_models(models, session, orderings)
    return _paged(models.with_entities(SqlLoggedModel.model_id)).statement


class _InExperiments:
    """A query that upstream's code filters by experiments last of all: they get a placeholder."""

    def __init__(self, query: Any) -> None:  # noqa: ANN401 - SQLAlchemy's
        self._query = query

    def join(self, other: Any) -> _InExperiments:  # noqa: ANN401 - as above
        return _InExperiments(self._query.join(other))

    def filter(self, stage: Any, among: Any, *others: Any) -> Any:  # noqa: ANN401 - as above
        if among.left.key != "experiment_id":
            raise _UnplannableError
        return self._query.filter(stage, _among(among.left, "experiments"), *others)


def _traces(filter_string: str, order_by: list[str]) -> Any:  # noqa: ANN401 - a statement of SQLAlchemy's
    """As `SqlAlchemyStore.search_traces` builds it, but for ids only."""
    from mlflow.store.db.db_types import POSTGRES
    from mlflow.store.tracking import sqlalchemy_store as store
    from mlflow.store.tracking.dbmodels.models import SqlTraceInfo
    from sqlalchemy.orm import Session

    session = Session()
    experiments = _among(SqlTraceInfo.experiment_id, "experiments")
    cases, ordering, sorting_joins = store._get_orderby_clauses_for_search_traces(order_by, session)
    scoped = session.query(SqlTraceInfo).filter(experiments)
    clauses = store._get_filter_clauses_for_search_traces(filter_string, session, POSTGRES, scoped)
    traces: Any = session.query(SqlTraceInfo).with_entities(SqlTraceInfo.request_id, *cases)
    traces = store.SqlAlchemyStore._apply_trace_filter_clauses(None, traces, *clauses)
    for clause in sorting_joins:
        traces = traces.outerjoin(clause)
    return _paged(traces.filter(experiments).order_by(*ordering)).statement


def _registry() -> Any:  # noqa: ANN401 - upstream is untyped
    """Upstream's store of models, not opened: what makes its statements needs none of its state."""
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    return SqlAlchemyStore.__new__(SqlAlchemyStore)


def _among(column: Any, name: str) -> Any:  # noqa: ANN401 - SQLAlchemy's
    from sqlalchemy import ARRAY, any_, bindparam

    return column == any_(bindparam(name, type_=ARRAY(column.type), value=None))


def _paged(statement: Any) -> Any:  # noqa: ANN401 - SQLAlchemy's
    from sqlalchemy import BigInteger, bindparam

    return statement.offset(bindparam("offset", type_=BigInteger, value=None)).limit(
        bindparam("limit", type_=BigInteger, value=None)
    )


_MADE: Mapping[str, Callable[[str, list[str]], Any]] = {
    "runs": _runs,
    "experiments": _experiments,
    "registered-models": _registered_models,
    "model-versions": _model_versions,
    "logged-models": _logged_models,
    "traces": _traces,
}
