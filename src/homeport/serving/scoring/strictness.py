"""`strict=true`: refuses the casts that upstream does silently and that lose information.

Reads JSON values against a signature before anything is cast; a null is left to the signature.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from homeport.serving.refusal import invalid

_WHOLE = {"int8": 7, "int16": 15, "int32": 31, "integer": 31, "int64": 63, "long": 63}
_UNSIGNED = {"uint8": 8, "uint16": 16, "uint32": 32, "uint64": 64}
_EXACT = {"float16": 2**11, "float32": 2**24, "float": 2**24, "float64": 2**53, "double": 2**53}
_HALF, _SINGLE, _DOUBLE = 65504.0, float(np.finfo(np.float32).max), float(np.finfo(np.float64).max)
_LARGEST = {"float16": _HALF, "float32": _SINGLE, "float": _SINGLE, "float64": _DOUBLE, "double": _DOUBLE}


def check(data: dict[str, Any], schema: Any) -> None:  # noqa: ANN401 - mlflow is untyped
    """Refuse data in one of the protocol's four forms if casting it to the schema would lose information.

    Raises:
        Refusal: 400 with the column and its type.
    """
    named = schema.has_input_names()
    types = [getattr(t, "name", str(t)) for t in schema.input_types()]
    by_name = dict(zip(schema.input_names(), types, strict=True)) if named else {}
    for column, values in _columns(data):
        kind = by_name.get(str(column)) if named else types[0] if len(types) == 1 else None
        if kind is None and named and column is None and len(types) == 1:
            kind = types[0]
        if kind is not None and not all(keeps(value, kind) for value in _flat(values)):
            label = "the input" if column is None else f"column {column}"
            raise invalid(f"{label} must hold values of type {kind}; at least one would be changed by the cast")


def keeps(value: Any, kind: str) -> bool:  # noqa: ANN401 - JSON
    """Whether a JSON value survives the cast to a type of MLflow or NumPy; rounding a fraction is no loss."""
    if value is None:
        return True
    if kind in {"boolean", "bool"}:
        return isinstance(value, (bool, int, float)) and value in (0, 1)
    if kind in _WHOLE or kind in _UNSIGNED:
        low, high = (0, 2 ** _UNSIGNED[kind]) if kind in _UNSIGNED else (-(2 ** _WHOLE[kind]), 2 ** _WHOLE[kind])
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return bool(number and low <= value < high and value == int(value))
    if kind in _EXACT:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        if isinstance(value, int):
            return abs(value) <= _EXACT[kind] or _survives(value, kind)
        return value != value or abs(value) == float("inf") or abs(value) <= _LARGEST[kind]  # noqa: PLR0124 - NaN
    return True


def _survives(value: int, kind: str) -> bool:
    try:
        dtype = {"float": "float32", "double": "float64"}.get(kind, kind)
        with np.errstate(over="ignore"):
            return int(np.dtype(dtype).type(float(value))) == value
    except OverflowError:
        return False


def _columns(data: dict[str, Any]) -> Iterator[tuple[Any, Iterable[Any]]]:
    """(column, values) of every column; the column is None for values without a name."""
    ((form, content),) = data.items()
    if form == "dataframe_split" and isinstance(content, dict):
        rows = [row for row in _list(content.get("data")) if isinstance(row, list)]
        columns = content.get("columns")
        for place, column in enumerate(columns if isinstance(columns, list) else range(max(map(len, rows), default=0))):
            yield column, [row[place] for row in rows if place < len(row)]
    elif isinstance(content, dict):
        yield from content.items()
    elif isinstance(content, list) and any(isinstance(item, dict) for item in content):
        for record in content:
            if isinstance(record, dict):
                yield from record.items()
    else:
        yield None, content


def _list(value: Any) -> list[Any]:  # noqa: ANN401 - JSON
    return value if isinstance(value, list) else []


def _flat(values: Any) -> Iterator[Any]:  # noqa: ANN401 - JSON
    if isinstance(values, list):
        for value in values:
            yield from _flat(value)
    else:
        yield values
