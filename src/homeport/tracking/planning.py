"""Answers the front's question how a search is said in SQL: upstream's own parsers and clauses make the statement.

It selects ids only, and has placeholders for what differs from search to search: experiments, stages, offset, limit.
Building it reads no database (mlflow 3.17.2: sessions there only make queries), so the front may remember it.
Refuses to know who asks and what is done with the rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import orjson

from homeport.tracking.internal import Headers

_INT64 = 2**63 - 1
_REFUSED = 422, b"{}"


class _UnplannableError(Exception):
    """A search whose values PostgreSQL might take otherwise than upstream writes them."""


def answer(body: bytes, headers: Headers) -> tuple[int, bytes]:
    """The plan of one search.

    Args:
        body: `of` (runs or experiments), `filter` and `order_by`.
        headers: not looked at.

    Returns:
        200 with `statement` and `places`, for each placeholder a `name` or a `value`; or 422: upstream refuses such a
        search, or it is beyond what is surely the same.
    """
    question = orjson.loads(body)
    make = {"runs": _runs, "experiments": _experiments}[question["of"]]
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

    if name in {"experiments", "stages", "offset", "limit"}:
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
    from sqlalchemy import select
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
    statement = statement.filter(_among(SqlRun.experiment_id, "experiments"), _among(SqlRun.lifecycle_stage, "stages"))
    return _paged(statement.filter(*attributes).order_by(*ordering))


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


def _among(column: Any, name: str) -> Any:  # noqa: ANN401 - SQLAlchemy's
    from sqlalchemy import ARRAY, any_, bindparam

    return column == any_(bindparam(name, type_=ARRAY(column.type), value=None))


def _paged(statement: Any) -> Any:  # noqa: ANN401 - SQLAlchemy's
    from sqlalchemy import BigInteger, bindparam

    return statement.offset(bindparam("offset", type_=BigInteger, value=None)).limit(
        bindparam("limit", type_=BigInteger, value=None)
    )
