"""A table of rows as CSV, JSON lines or Parquet, piece by piece. Refuses to know where the rows come from.

Values are written as they are: a text that a spreadsheet would take for a formula stays that text.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from homeport.serving.feedback.training_data import Column, Kind, Row

Write = Callable[[Sequence[Column], Iterable[list[Row]]], Iterator[bytes]]


@dataclass(frozen=True)
class Format:
    """One way to write a table.

    Args:
        media_type: for Content-Type and Accept.
        also: other names of it in Accept.
        write: takes the columns and batches of rows, gives pieces of the file.
    """

    media_type: str
    also: tuple[str, ...]
    write: Write


def write_csv(columns: Sequence[Column], batches: Iterable[list[Row]]) -> Iterator[bytes]:
    """A header, then a line a row; no value and an empty text are both an empty field, nested values are JSON."""
    names = [column.name for column in columns]
    yield _lines([names])
    for batch in batches:
        yield _lines([[_field(row.get(name)) for name in names] for row in batch])


def write_jsonl(_columns: Sequence[Column], batches: Iterable[list[Row]]) -> Iterator[bytes]:
    """An object a line; a column that a row lacks is not in its object."""
    for batch in batches:
        yield b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in batch)


def write_parquet(columns: Sequence[Column], batches: Iterable[list[Row]]) -> Iterator[bytes]:
    """A row group a batch; values of several kinds in one column are JSON text."""
    import pyarrow
    from pyarrow import parquet

    types = {
        Kind.INTEGER: pyarrow.int64(), Kind.NUMBER: pyarrow.float64(), Kind.BOOLEAN: pyarrow.bool_(),
        Kind.TIME: pyarrow.timestamp("us", tz="UTC"), Kind.TEXT: pyarrow.string(), Kind.JSON: pyarrow.string(),
    }  # fmt: skip
    schema = pyarrow.schema([(column.name, types[column.kind]) for column in columns])
    sink = _Drain()
    with parquet.ParquetWriter(sink, schema) as writer:
        for batch in batches:
            arrays = [
                pyarrow.array([_cell(row.get(column.name), column.kind) for row in batch], types[column.kind])
                for column in columns
            ]
            writer.write_batch(pyarrow.record_batch(arrays, schema=schema))
            yield sink.drained()
    yield sink.drained()


FORMATS: Mapping[str, Format] = {
    "csv": Format("text/csv", (), write_csv),
    "jsonl": Format("application/x-ndjson", ("application/jsonl", "application/x-jsonlines"), write_jsonl),
    "parquet": Format("application/vnd.apache.parquet", ("application/x-parquet",), write_parquet),
}


class _Drain(io.RawIOBase):
    """A file that gives away what has been written to it."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._place = 0

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:  # noqa: ANN401 - any buffer
        self._pieces.append(bytes(piece))
        self._place += len(self._pieces[-1])
        return len(self._pieces[-1])

    def tell(self) -> int:
        return self._place

    def drained(self) -> bytes:
        whole = b"".join(self._pieces)
        self._pieces.clear()
        return whole


def _lines(rows: list[list[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _field(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, bool | dict | list):
        return orjson.dumps(value).decode()
    return value.isoformat() if isinstance(value, datetime) else value


def _cell(value: Any, kind: Kind) -> Any:  # noqa: ANN401 - any JSON
    if value is None:
        return None
    if kind is Kind.JSON:
        return orjson.dumps(value).decode()
    # Arrow takes no integer beyond 2**53 for a float.
    return float(value) if kind is Kind.NUMBER else value
