"""The logged rows as a table: which rows, which columns, and batches of them from a server-side cursor.

Both questions are asked in one snapshot, so the columns are exactly those of the rows. Memory is bounded by a batch.
Refuses to know how a table is written and who reads it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson

from homeport.serving.feedback.database import Database

OURS = ("prediction", "truth", "request_id", "row", "at", "model", "version")

_FIRST_BATCH, _LARGEST_BATCH = 16, 2000  # rows
_BATCH_BYTES = 2 * 2**20  # of JSON text, about
_LONGEST_QUESTION = "60s"  # for the columns, and for each batch
_LONGEST_IDLE = "120s"  # a reader that takes nothing must not hold the snapshot, and with it the vacuum, for ever

_ACTIVE = 1  # psycopg2.extensions.TRANSACTION_STATUS_ACTIVE

Row = dict[str, Any]


class Kind(StrEnum):
    """What the values of a column have in common."""

    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIME = "time"
    TEXT = "text"
    JSON = "json"  # lists, objects, or values of several kinds


@dataclass(frozen=True)
class Column:
    """One column of the table."""

    name: str
    kind: Kind


@dataclass(frozen=True)
class Selection:
    """Which rows; None: whatever it is.

    Args:
        model: registered model.
        version: its version.
        since: predicted at this time or later.
        until: predicted before this time.
        labelled: with a truth, or without one.
        limit: at most so many, the oldest first.
    """

    model: str | None = None
    version: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    labelled: bool | None = None
    limit: int | None = None

    def statement(self, what: str) -> tuple[str, dict[str, Any]]:
        """A statement that selects `what` from the rows, oldest first, and its parameters."""
        conditions = {
            "p.model = %(model)s": self.model,
            "p.version = %(version)s": self.version,
            "p.at >= %(since)s": self.since,
            "p.at < %(until)s": self.until,
            # Said so that the planner sees an inner join, and begins with the labels where they are few.
            f"f.truth IS {'NOT ' if self.labelled else ''}NULL": self.labelled,
        }
        where = " AND ".join(text for text, value in conditions.items() if value is not None) or "true"
        parameters = {
            "model": self.model, "version": self.version, "since": self.since, "until": self.until, "limit": self.limit,
        }  # fmt: skip
        return (
            f"SELECT {what} FROM prediction p LEFT JOIN feedback f USING (request_id, row)"  # noqa: S608 - no values
            f" WHERE {where} ORDER BY p.at, p.id LIMIT %(limit)s",
            parameters,
        )


# For every column: where it stands, and which types of JSON its values have.
_COLUMNS = """
WITH chosen AS ({chosen})
SELECT ours, key, min(place),
       bool_or(type = 'number'), bool_or(type = 'boolean'), bool_or(type = 'string'),
       bool_or(type IN ('object', 'array')),
       coalesce(bool_and(value::text ~ '^-?[0-9]{{1,18}}$') FILTER (WHERE type = 'number'), false)
FROM chosen, LATERAL (
    SELECT false AS ours, key, ordinality AS place, value, json_typeof(value) AS type
    FROM json_each(inputs) WITH ORDINALITY
    UNION ALL SELECT true, 'prediction', 0, prediction, json_typeof(prediction)
    UNION ALL SELECT true, 'truth', 0, truth, json_typeof(truth)
) AS column_of_row
GROUP BY ours, key ORDER BY min(place), key
"""


class Export:
    """The rows of a selection, in a transaction of their own until `close`. Blocking; one thread at a time."""

    def __init__(self, database: Database, selection: Selection) -> None:
        """Connect and find the columns; raises HomeportError or psycopg2.Error when the database does not answer."""
        self._selection = selection
        self._connection = database.connect()
        try:
            self._connection.set_session(isolation_level="REPEATABLE READ", readonly=True, autocommit=False)
            found = self._ask_columns()
        except BaseException:
            self.close()
            raise
        inputs = [Column(key, kind) for ours, key, kind in found if not ours]
        kinds = {key: kind for ours, key, kind in found if ours}
        self.prefix = _prefix({column.name for column in inputs})
        self.columns = (*inputs, *(Column(self.prefix + name, _OUR_KINDS.get(name) or kinds.get(name, Kind.NUMBER))
                                   for name in OURS))  # fmt: skip

    def batches(self) -> Iterator[list[Row]]:
        """The rows, a few to many at a time, each as column -> value; a column that a row lacks is not there."""
        what = "p.inputs::text, p.prediction::text, f.truth::text, request_id, row, p.at, p.model, p.version"
        ours = [self.prefix + name for name in OURS]
        size = _FIRST_BATCH
        cursor = self._connection.cursor("training_data")  # it ends with the session
        cursor.execute(*self._selection.statement(what))
        while found := cursor.fetchmany(size):
            yield [_row(values, ours) for values in found]
            held = sum(len(values[0]) + len(values[1]) for values in found)
            size = max(1, min(_LARGEST_BATCH, 4 * size, _BATCH_BYTES * len(found) // held))

    def close(self) -> None:
        """End the session, also while another thread waits for an answer in it."""
        with contextlib.suppress(Exception):  # it may be cut already
            if self._connection.get_transaction_status() == _ACTIVE:
                self._connection.cancel()
        with contextlib.suppress(Exception):
            self._connection.close()

    def _ask_columns(self) -> list[tuple[bool, str, Kind]]:
        chosen, parameters = self._selection.statement("p.inputs, p.prediction, f.truth")
        with contextlib.closing(self._connection.cursor()) as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = '{_LONGEST_QUESTION}'")
            cursor.execute(f"SET LOCAL idle_in_transaction_session_timeout = '{_LONGEST_IDLE}'")
            cursor.execute(_COLUMNS.format(chosen=chosen), parameters)
            return [(ours, key, _kind(*types)) for ours, key, _, *types in cursor.fetchall()]


_OUR_KINDS = {
    "request_id": Kind.TEXT, "row": Kind.INTEGER, "at": Kind.TIME, "model": Kind.TEXT, "version": Kind.TEXT,
}  # fmt: skip


def _kind(number: bool | None, boolean: bool | None, text: bool | None, nested: bool | None, integers: bool) -> Kind:
    kinds = [
        kind
        for kind, there in (
            (Kind.INTEGER if integers else Kind.NUMBER, number),
            (Kind.BOOLEAN, boolean),
            (Kind.TEXT, text),
            (Kind.JSON, nested),
        )
        if there
    ]
    if len(kinds) > 1:
        return Kind.JSON
    return kinds[0] if kinds else Kind.NUMBER  # nothing but nulls


def _prefix(inputs: set[str]) -> str:
    """As many underscores before the names of our columns as it takes to differ from every input's."""
    prefix = ""
    while any(prefix + name in inputs for name in OURS):
        prefix += "_"
    return prefix


def _row(values: tuple[Any, ...], ours: list[str]) -> Row:
    inputs, prediction, truth, *rest = values
    row: Row = orjson.loads(inputs)
    own = (orjson.loads(prediction), None if truth is None else orjson.loads(truth), *rest)
    row.update(zip(ours, own, strict=True))
    return row
