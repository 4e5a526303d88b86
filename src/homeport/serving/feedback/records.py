"""What was asked and answered, row by row: a request's body as named values, an answer's body as predictions.

Reads every format of both protocols without a model's signature and without pandas. Raises whatever
the format's reader raises for a body that is none of them. Refuses to know where the rows go.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from homeport.serving.feedback import tensors
from homeport.serving.servable import Dialect, Request

UNNAMED = "input"  # the column of a row that is one value without a name
_MOST_COLUMNS = 1000  # a longer list without names is one value, for example an image
_INTEGER_BITS = 63
_FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")

Record = dict[str, Any]


def records(request: Request) -> list[Record]:
    """The rows of a request, each as column -> value.

    A list of plain values without names has the columns "0", "1", ...; anything else without names is one value in
    the column ``input``.
    """
    return _question(request)[0]


def params(request: Request) -> dict[str, Any] | None:
    """The inference parameters sent with a request; None without any."""
    return _question(request)[1]


def read(request: Request) -> tuple[list[Record], dict[str, Any] | None]:
    """Both at once, the body read only once."""
    return _question(request)


def predictions(body: bytes, dialect: Dialect) -> list[Any]:
    """The rows of an answer."""
    if dialect is Dialect.OIP:
        header = tensors.header(body, None)
        return _unwrapped(tensors.rows(header["outputs"], tensors.after(body, header)))
    answer = orjson.loads(body)
    found = answer["predictions"] if isinstance(answer, dict) and "predictions" in answer else answer
    return _columns_to_rows(found) if isinstance(found, dict) else found if isinstance(found, list) else [found]


def paired(asked: list[Record], answered: list[Any]) -> list[tuple[Record, Any]]:
    """Each row with its prediction; all in one row when their numbers differ."""
    if len(asked) == len(answered):
        return list(zip(asked, answered, strict=True))
    whole = asked[0] if len(asked) == 1 else {UNNAMED: asked}
    return [(whole, answered)]


def difference(answered: Sequence[Any], shadow: Sequence[Any]) -> float | None:
    """How far two answers to one request are apart.

    For numbers the mean absolute difference; for anything else the share of rows that differ. None when the numbers
    of rows differ or there are none.
    """
    if len(answered) != len(shadow) or not answered:
        return None
    pairs = list(zip(answered, shadow, strict=True))
    if all(_is_number(one) for pair in pairs for one in pair):
        return math.fsum(abs(float(one) - float(other)) for one, other in pairs) / len(pairs)
    return sum(bool(one != other) for one, other in pairs) / len(pairs)


def _question(request: Request) -> tuple[list[Record], dict[str, Any] | None]:
    if request.dialect is Dialect.OIP:
        header = tensors.header(request.body, request.headers.get("inference-header-content-length"))
        found = tensors.rows(header["inputs"], tensors.after(request.body, header))
        return [_record(row) for row in _unwrapped(found, single=False)], _mapping(header.get("parameters"))
    kind = (request.content_type or "application/json").partition(";")[0].strip().lower()
    if kind == "text/csv":
        return _csv(request.body.decode()), None
    if kind == "application/vnd.apache.parquet":
        return _parquet(request.body), None
    return _json(orjson.loads(request.body))


def _json(body: Any) -> tuple[list[Record], dict[str, Any] | None]:  # noqa: ANN401 - any JSON
    if not isinstance(body, dict):
        raise TypeError("an object is needed")
    name = next((name for name in _FORMATS if name in body), None)
    if name is None:  # a chat model's request is the object itself
        return [body], None
    data = body[name]
    if name == "dataframe_split":
        rows = _split(data)
    elif isinstance(data, dict):
        rows = _columns_to_rows(data)
    else:
        rows = data if isinstance(data, list) else [data]
    return [_record(row) for row in rows], _mapping(body.get("params"))


def _split(data: Mapping[str, Any]) -> list[Any]:
    names = data.get("columns")
    if names is None or len(set(map(str, names))) != len(names):
        return list(data["data"])
    texts = [str(name) for name in names]
    return [dict(zip(texts, row, strict=True)) for row in data["data"]]


def _columns_to_rows(columns: Mapping[str, Any]) -> list[Any]:
    """One mapping of columns as rows, when all columns have the same length; else one row."""
    lengths = {len(value) if isinstance(value, list) else -1 for value in columns.values()}
    if len(lengths) != 1 or -1 in lengths:
        return [dict(columns)]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _unwrapped(found: list[Record], *, single: bool = True) -> list[Any]:
    """Rows of tensors; those of one tensor that holds whole rows, or of an answer's only tensor, without its name."""
    if found and len(found[0]) == 1:
        value = next(iter(found[0].values()))
        if single or isinstance(value, list):
            return [next(iter(row.values())) for row in found]
    return list(found)


def _record(row: Any) -> Record:  # noqa: ANN401 - any JSON
    if isinstance(row, dict):
        return row
    plain = isinstance(row, list) and 0 < len(row) <= _MOST_COLUMNS
    if plain and not any(isinstance(value, list | dict) for value in row):
        return {str(place): value for place, value in enumerate(row)}
    return {UNNAMED: row}


def _csv(text: str) -> list[Record]:
    header, *rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    columns = [_typed(column) for column in zip(*rows, strict=True)]
    return [dict(zip(header, row, strict=True)) for row in zip(*columns, strict=True)]


def _typed(column: Iterable[str]) -> list[Any]:
    """A CSV column as numbers when every field is one; an empty field is no value."""
    texts = [text.strip() for text in column]
    for as_number in (_integer, float):
        try:
            return [as_number(text) if text else None for text in texts]
        except ValueError:
            continue
    return [text or None for text in texts]


def _integer(text: str) -> int:
    value = int(text)
    if "_" in text or value.bit_length() > _INTEGER_BITS:
        raise ValueError("no integer of a CSV file")
    return value


def _parquet(body: bytes) -> list[Record]:
    from pyarrow import BufferReader, parquet

    table = parquet.read_table(BufferReader(body))
    return [
        {name: value for name, value in row.items() if not name.startswith("__index_level_")}
        for row in table.to_pylist()
    ]


def _mapping(value: Any) -> dict[str, Any] | None:  # noqa: ANN401 - any JSON
    return value if isinstance(value, dict) and value else None


def _is_number(value: Any) -> bool:  # noqa: ANN401 - any JSON
    return isinstance(value, int | float) and not isinstance(value, bool)
