"""Bodies of the calls that write, taken only as real clients send them and as MLflow surely reads them.

Everything unusual gives `None` (mlflow 3.17.2: server/handlers.py `_get_request_message`, google.protobuf's
json_format, utils/validation.py). Refuses to know the database.
"""

from __future__ import annotations

import math
import posixpath
import re
from functools import lru_cache
from typing import Any

from homeport.tracking.front.call import Call

LONGEST_KEY = 250
LONGEST_PARAM = 6000
LONGEST_TAG = 8000
LONGEST_RUN_ID = 32
LONGEST_RUN_NAME = 250
LARGEST_INTEGER = 2**63 - 1
LARGEST_EXPERIMENT_ID = 2**31 - 1
_LONGEST_EXPERIMENT_ID = 10
RUN_NAME = "mlflow.runName"

_INTEGER = re.compile(r"-?[0-9]{1,19}")
_NUMBER = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?")
_NAME = re.compile(r"[/\w.\- :]*")
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def body(call: Call) -> dict[str, Any] | None:
    """The body, if it came as an ordinary JSON request: upstream refuses other types and reads no chunked bodies."""
    kinds = lengths = 0
    for name, value in call.headers:
        if name == b"content-type":
            if value.split(b";", 1)[0] != b"application/json":
                return None
            kinds += 1
        elif name == b"content-length":
            lengths += 1
        elif name in {b"transfer-encoding", b"content-encoding"}:
            return None
    return call.json if kinds == lengths == 1 else None


def run_id(given: dict[str, Any]) -> str | None:
    """The run: `run_id`, or where that is absent the older `run_uuid`."""
    found = given.get("run_id")
    older = given.get("run_uuid")
    if found is None:
        found = older
    elif older is not None and type(older) is not str:
        return None
    return found if is_id(found, LONGEST_RUN_ID) else None


def is_id(value: object, longest: int) -> bool:
    """Whether this is an ordinary id of letters and digits; others may exist, and are left to MLflow."""
    return type(value) is str and 0 < len(value) <= longest and value.isascii() and value.isalnum()


def experiment_id(value: object) -> int | None:
    """An experiment's number as MLflow writes it."""
    if type(value) is not str or not value.isascii() or not value.isdigit() or len(value) > _LONGEST_EXPERIMENT_ID:
        return None
    number = int(value)
    return number if number <= LARGEST_EXPERIMENT_ID and str(number) == value else None


@lru_cache(maxsize=2**14)
def is_short_name(value: str) -> bool:
    """As `is_name`, of a text that is known not to be long."""
    normal = posixpath.normpath(value)
    return normal == value and value != "." and value[0] != "/" and value[:2] != ".." and bool(_NAME.fullmatch(value))


def is_name(value: object) -> bool:
    """Whether metrics, params and tags may be called so (`_validate_metric_name`, at most 250 characters).

    Upstream also takes a line feed at the end, which is left to it.
    """
    return type(value) is str and len(value) <= LONGEST_KEY and is_short_name(value)


def is_text(value: object, longest: int) -> bool:
    """Whether PostgreSQL and MLflow both take this text as it is."""
    return type(value) is str and len(value) <= longest and "\0" not in value


def integer(value: object) -> int | None:
    """An int64: a JSON number without a fraction, or its digits as a string."""
    if type(value) is str and _INTEGER.fullmatch(value):
        value = int(value)
    if type(value) is int and -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
        return value
    return None


def number(value: object) -> float | None:
    """A double: a JSON number, its text, or one of the three words of protobuf's JSON."""
    if type(value) is float:
        return value  # orjson reads no NaN and no infinity
    if type(value) is int:
        return float(value)
    if type(value) is str:
        special = _SPECIAL.get(value)
        if special is not None:
            return special
        if _NUMBER.fullmatch(value):
            found = float(value)
            return found if math.isfinite(found) else None
    return None
