"""What a reading call was asked, field by field; anything but plain values of the fields it knows raises `UnsureError`.

Follows mlflow 3.17.2, server/handlers.py `_get_request_message`: the query of a GET (fields it does not know are
ignored there), the JSON body of a POST. Refuses to know what the fields mean.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from homeport.tracking.front.call import Call

INT32 = 2**31 - 1
INT64 = 2**63 - 1
_LONGEST_NUMBER = 19  # digits of the largest int64


class UnsureError(Exception):
    """MLflow itself answers this request."""


class Query:
    """The arguments of a GET; the first one of a name counts, as in Flask."""

    def __init__(self, call: Call) -> None:
        arguments = call.arguments
        if not arguments:  # upstream then reads a body
            raise UnsureError
        self._arguments = arguments

    def text(self, name: str) -> str | None:
        """The argument; None where it is absent."""
        found = self._arguments.get(name)
        return found[0] if found else None

    def needed(self, name: str) -> str:
        """The argument, which upstream refuses to do without."""
        return _given(self.text(name))

    def texts(self, name: str) -> list[str]:
        """All arguments of that name."""
        return self._arguments.get(name, [])

    def number(self, name: str, low: int, high: int) -> int | None:
        """The argument as a number from `low` to `high`; None where it is absent."""
        text = self.text(name)
        return None if text is None else whole(text, low, high)


class Body:
    """The JSON body of a POST.

    Args:
        call: the request.
        known: the fields that upstream knows.
    """

    def __init__(self, call: Call, known: Collection[str]) -> None:
        kinds = [value for name, value in call.headers if name == b"content-type"]
        if len(kinds) != 1 or kinds[0].partition(b";")[0] != b"application/json":
            raise UnsureError
        if any(name == b"transfer-encoding" for name, _ in call.headers):  # of which Flask here reads nothing
            raise UnsureError
        fields = call.json
        if fields is None or not fields.keys() <= set(known):
            raise UnsureError
        self._fields = fields

    def text(self, name: str) -> str | None:
        """The field; None where it is absent or null, which is the same to upstream's parser."""
        value = self._fields.get(name)
        if value is not None and not isinstance(value, str):
            raise UnsureError
        return value

    def texts(self, name: str) -> list[str]:
        """The field, a list of strings."""
        value = self._fields.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise UnsureError
        return value

    def number(self, name: str, low: int, high: int) -> int | None:
        """The field, a number or a number in a string, from `low` to `high`; None where it is absent."""
        if name not in self._fields:
            return None
        return whole(self._fields[name], low, high)

    def choice(self, name: str, choices: tuple[str, ...]) -> str | None:
        """The field, one of an enumeration's names or its number, which begins at 1; None where it is absent."""
        value: Any = self._fields.get(name)
        if type(value) is int and 1 <= value <= len(choices):
            return choices[value - 1]
        if value is not None and value not in choices:
            raise UnsureError
        return None if value is None else str(value)


def whole(value: object, low: int, high: int) -> int:
    """A whole number, plainly written."""
    if isinstance(value, str):
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdecimal() and len(digits) <= _LONGEST_NUMBER):
            raise UnsureError
        value = int(value)
    if type(value) is not int or not low <= value <= high:
        raise UnsureError
    return value


def either(query: Query, name: str, older: str) -> str:
    """An argument with an older name, e.g. `run_id` and `run_uuid`; empty under the newer name, it is refused."""
    found = query.text(name)
    return _given(query.text(older) if found is None else found)


def _given(text: str | None) -> str:
    if not text:
        raise UnsureError
    return text
