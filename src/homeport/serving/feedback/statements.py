"""What the prediction log writes: rows made of predictions, in batches, and the removal of old ones.

One batch is one transaction. A value that the database refuses costs that request's rows alone. Refuses to know when
something is written and what happens when the database is away.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from homeport.serving.feedback import records

if TYPE_CHECKING:
    from homeport.serving.feedback.log import Prediction, ShadowDifference

_PAGE = 100  # rows a statement: while the driver writes one, Python does nothing else
_OLD = 1000  # rows removed at a time
_SWEEPING = int.from_bytes(b"hp-sweep")  # an advisory lock: one server at a time removes old rows
# The first rows under an id stay: what is written twice because an answer was lost is there once.
_PREDICTION = (
    "INSERT INTO prediction (request_id, row, at, model, version, inputs, prediction, params) VALUES %s"
    " ON CONFLICT DO NOTHING"
)
_SHADOW = (
    "INSERT INTO shadow (request_id, at, model, version, shadow_version, prediction, shadow, difference) VALUES %s"
    " ON CONFLICT DO NOTHING"
)
_PREDICTION_FORM = "(%s, %s, to_timestamp(%s), %s, %s, %s, %s, %s)"
_SHADOW_FORM = "(%s, to_timestamp(%s), %s, %s, %s, %s, %s, %s)"
# SQLSTATE classes that say something about a value: wrong data, a broken constraint, a limit of the server.
_ABOUT_VALUES = ("22", "23", "54")

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """What one request writes into one of the two tables."""

    statement: str
    form: str
    rows: Sequence[Row]


def prediction(entry: Prediction) -> Rows:
    """The rows of a prediction; raises whatever its body's reader raises."""
    asked, params = records.read(entry.request)
    answered = records.predictions(entry.answer, entry.request.dialect)
    if any("\0" in name for one in asked for name in one):
        raise ValueError("PostgreSQL cannot give such a column back")
    head = (entry.at, entry.model, entry.version)
    rows = [
        (entry.request_id, number, *head, _json(one), _json(answer), _json(params) if params else None)
        for number, (one, answer) in enumerate(records.paired(asked, answered))
    ]
    return Rows(_PREDICTION, _PREDICTION_FORM, rows)


def shadow(entry: ShadowDifference) -> Rows:
    """The row of a difference; raises whatever an answer's reader raises."""
    answered = records.predictions(entry.answer, entry.dialect)
    other = records.predictions(entry.shadow, entry.dialect)
    row = (
        entry.request_id, entry.at, entry.model, entry.version, entry.shadow_version,
        _json(answered), _json(other), records.difference(answered, other),
    )  # fmt: skip
    return Rows(_SHADOW, _SHADOW_FORM, [row])


def write(connection: Any, batch: Sequence[Rows], on_refused: Callable[[], None]) -> None:  # noqa: ANN401 - psycopg2 has no types
    """Write a batch in one transaction; request by request when the database refuses a value in it.

    Args:
        connection: in autocommit mode.
        batch: what to write.
        on_refused: called for every request that was left out.

    Raises:
        psycopg2.Error: the database is away, full, or without our tables; nothing was written.
    """
    try:
        _write_together(connection, batch)
    except Exception as error:
        if not _is_about_values(error):
            raise
    else:
        return
    for one in batch:
        try:
            _write_together(connection, [one])
        except Exception as error:
            if not _is_about_values(error):
                raise  # the whole batch is written again, and what is there stays
            on_refused()


def remove_old(connection: Any, keep_days: float) -> bool:  # noqa: ANN401 - psycopg2 has no types
    """Remove some rows older than that; whether there may be more. While another server does it, nothing is done."""
    more = False
    with contextlib.closing(connection.cursor()) as cursor:
        # Each server asks once an hour; a lock of the transaction also works behind a pooler.
        cursor.execute("BEGIN")
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", (_SWEEPING,))
        mine = cursor.fetchone()[0]
        for table in ("prediction", "feedback", "shadow") if mine else ():
            cursor.execute(
                f"DELETE FROM {table} WHERE ctid = ANY(ARRAY("  # noqa: S608 - one of the three names above
                f"SELECT ctid FROM {table} WHERE at < now() - %s * interval '1 day' ORDER BY at LIMIT {_OLD}))",
                (keep_days,),
            )
            more = more or cursor.rowcount >= _OLD
        cursor.execute("COMMIT")
    return more


def _write_together(connection: Any, batch: Sequence[Rows]) -> None:  # noqa: ANN401 - psycopg2 has no types
    from psycopg2.extras import execute_values

    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute("BEGIN")
        try:
            for statement, form in ((_PREDICTION, _PREDICTION_FORM), (_SHADOW, _SHADOW_FORM)):
                rows = [row for one in batch if one.statement == statement for row in one.rows]
                if rows:
                    execute_values(cursor, statement, rows, form, _PAGE)
        except BaseException:
            with contextlib.suppress(Exception):  # the first failure is the one to tell
                cursor.execute("ROLLBACK")
            raise
        cursor.execute("COMMIT")


def _is_about_values(error: Exception) -> bool:
    code = getattr(error, "pgcode", None)
    # ValueError: a zero character, which the driver refuses before the server does.
    return code[:2] in _ABOUT_VALUES if code else isinstance(error, ValueError)


def _json(value: Any) -> str:  # noqa: ANN401 - any JSON
    return orjson.dumps(value, default=_text, option=orjson.OPT_NON_STR_KEYS).decode()


def _text(value: Any) -> str:  # noqa: ANN401 - what a Parquet file may hold and JSON does not
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
