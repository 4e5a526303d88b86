"""The body of POST /feedback as truths of rows, and how they are kept: the last one for a row wins.

Refuses to know what a truth means; any JSON value but null is one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import orjson

from homeport.serving.refusal import Refusal, bad_request, invalid

MOST_ROWS = 10_000
LONGEST_ID = 256  # characters of a request id
_PAGE = 1000  # rows a statement
_LONGEST = "10s"  # that a statement waits, for example for a lock
_LAST_ROW = 2**31 - 1
_KEYS = frozenset({"request_id", "truth", "row"})

Truths = dict[tuple[str, int], Any]  # (request id, row) -> truth

_ITEM: dict[str, Any] = {
    "type": "object",
    "required": ["request_id", "truth"],
    "additionalProperties": False,
    "properties": {
        "request_id": {
            "type": "string",
            "minLength": 1,
            "maxLength": LONGEST_ID,
            "pattern": "^[ -~]+$",
            "description": "The X-Request-Id of the answer.",
        },
        "truth": {
            "type": ["boolean", "integer", "number", "string", "object", "array"],
            "minItems": 1,
            "contains": {"not": {"type": "null"}},
            "description": "What was true: one value for the request's first row, or a list with one for every row; "
            "null in the list: not known for this row.",
        },
        "row": {
            "type": "integer",
            "minimum": 0,
            "maximum": _LAST_ROW,
            "description": "The row that `truth` is about, counted from 0; then a list is one value.",
        },
    },
}
# For the OpenAPI document.
SCHEMA: dict[str, Any] = {"oneOf": [_ITEM, {"type": "array", "items": _ITEM, "minItems": 1, "maxItems": MOST_ROWS}]}


def parse(body: bytes) -> Truths:
    """The truths in a request's body.

    Raises:
        Refusal: 400 when it is not a feedback or a list of them, 413 when it has too many rows.
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"the body must be JSON; it is not from character {error.pos} on") from None
    items = found if isinstance(found, list) else [found]
    if not items:
        raise invalid("the list holds no feedback; at least one is needed")
    truths: Truths = {}
    for place, item in enumerate(items):
        where = f"feedback {place}: " if isinstance(found, list) else ""
        for request_id, row, truth in _rows(item, where):
            truths[request_id, row] = truth
            if len(truths) > MOST_ROWS:
                raise Refusal(413, "INVALID_PARAMETER_VALUE", f"more than {MOST_ROWS:,} rows; send them in parts")
    return truths


def keep(connection: Any, truths: Truths) -> list[str]:  # noqa: ANN401 - psycopg2 has no types
    """Write them in one transaction; the request ids that have no such prediction now.

    Their truths are kept, too: a prediction is written shortly after it is answered.
    """
    from psycopg2.extras import execute_values

    rows = [(request_id, row, orjson.dumps(truth).decode()) for (request_id, row), truth in sorted(truths.items())]
    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute("BEGIN")
        try:
            cursor.execute(f"SET LOCAL statement_timeout = '{_LONGEST}'")
            execute_values(
                cursor,
                "INSERT INTO feedback (request_id, row, truth) VALUES %s"
                " ON CONFLICT (request_id, row) DO UPDATE SET truth = excluded.truth, at = excluded.at",
                rows,
                page_size=_PAGE,
            )
            cursor.execute(
                "SELECT request_id FROM unnest(%s::text[], %s::int[]) WITH ORDINALITY AS given (request_id, row, place)"
                " LEFT JOIN prediction p USING (request_id, row) WHERE p.id IS NULL"
                " GROUP BY request_id ORDER BY min(place)",
                ([request_id for request_id, _ in truths], [row for _, row in truths]),
            )
            unknown = [str(request_id) for (request_id,) in cursor.fetchall()]
        except BaseException:
            with contextlib.suppress(Exception):  # the first failure is the one to tell
                cursor.execute("ROLLBACK")
            raise
        cursor.execute("COMMIT")
    return unknown


def _rows(item: Any, where: str) -> Iterator[tuple[str, int, Any]]:  # noqa: ANN401 - any JSON
    if not isinstance(item, dict):
        raise invalid(f'{where}an object like {{"request_id": "…", "truth": …}} is needed')
    missing = [name for name in ("request_id", "truth") if name not in item]
    if missing or item.keys() - _KEYS:
        found = f"{' and '.join(missing)} missing" if missing else "there are others"
        raise invalid(f"{where}request_id and truth are needed, row is possible; {found}")
    request_id, truth = item["request_id"], item["truth"]
    if not isinstance(request_id, str) or not 0 < len(request_id) <= LONGEST_ID or not _printable(request_id):
        raise invalid(f"{where}request_id must be a text of 1 to {LONGEST_ID} printable ASCII characters")
    if "row" in item:
        values = [(_row(item["row"], where), truth)]
    else:
        values = list(enumerate(truth)) if isinstance(truth, list) else [(0, truth)]
    known = [(number, value) for number, value in values if value is not None]
    if not known or (isinstance(truth, list) and all(value is None for value in truth)):
        raise invalid(f"{where}truth holds no value")
    for number, value in known:
        yield request_id, number, value


def _row(value: Any, where: str) -> int:  # noqa: ANN401 - any JSON
    # To JSON Schema, and to programs that know one kind of number, 3.0 is an integer.
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LAST_ROW and value % 1 == 0:
        return int(value)
    raise invalid(f"{where}row must be an integer from 0 to {_LAST_ROW}")


def _printable(text: str) -> bool:
    return text.isascii() and text.isprintable()
