"""The wine-quality table: reads a CSV file and refuses a bad one, naming the line and the column.

It needs neither pandas nor MLflow, so a bad file is refused before anything slow is imported. Where the file comes
from, and what is learned from it, it refuses to know.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from homeport.errors import ExitCode, HomeportError

FEATURES = (
    "fixed acidity",
    "volatile acidity",
    "citric acid",
    "residual sugar",
    "chlorides",
    "free sulfur dioxide",
    "total sulfur dioxide",
    "density",
    "pH",
    "sulphates",
    "alcohol",
)
TARGET = "quality"
COLUMNS = (*FEATURES, TARGET)
MIN_ROWS = 50
SEPARATORS = (";", ",")

_SHOWN = 60  # characters of a bad line or value that an error quotes
_FIX = "a wine-quality CSV has a header with these columns, in any order, separated by , or ;: " + ", ".join(COLUMNS)


@dataclass(frozen=True)
class WineTable:
    """The checked rows of one file.

    Args:
        path: the file they were read from.
        values: float64, shape (rows, 12), columns as in `COLUMNS`, all finite.
        separator: the character between fields, one of `SEPARATORS`.
        ignored: columns the file has and the pipeline does not use.
    """

    path: Path
    values: NDArray[np.float64] = field(repr=False)
    separator: str
    ignored: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of the numbers themselves: the same whatever the separator, the column order or the number format."""
        names = "\n".join(COLUMNS).encode()
        return hashlib.sha256(names + self.values.astype("<f8").tobytes()).hexdigest()


def read_wine_table(path: Path) -> WineTable:
    """Read and check a wine-quality CSV file, separated by commas or semicolons.

    Args:
        path: a text file, UTF-8, with a header line.

    Raises:
        HomeportError: the file cannot be read, or is not such a table; exit code 2, code ``DATA_*``.
    """
    lines = _text(path).split("\n")
    first = next((number for number, line in enumerate(lines, 1) if line.strip()), None)
    if first is None:
        raise _refusal("DATA_EMPTY", f"{path} is empty", fix=_FIX)
    header = _header(path, first, lines[first - 1])
    columns = _columns(header)
    rows = [
        _row(header, columns, number, line) for number, line in enumerate(lines, 1) if number > first and line.strip()
    ]
    _check_size(path, rows)
    ignored = tuple(name for name in header.names if name not in COLUMNS)
    return WineTable(path, np.array(rows, dtype=np.float64), header.separator, ignored)


@dataclass(frozen=True)
class _Header:
    path: Path
    separator: str
    names: list[str]


def _text(path: Path) -> str:
    content = _content(path)
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise _refusal(
            "DATA_NOT_UTF8", f"{path} is UTF-16 text", fix=f"convert it: iconv -f utf-16 -t utf-8 {path} > wine.csv"
        )
    if b"\0" in content:
        why = f"it has a zero byte at offset {content.index(0)}"
        raise _refusal("DATA_BINARY", f"{path} is binary, not a CSV file", why=why, fix=_FIX)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _refusal(
            "DATA_NOT_UTF8",
            f"{path}, line {line}: not UTF-8 text",
            why=f"byte 0x{content[error.start]:02x} at offset {error.start} does not belong to any UTF-8 character",
            fix=f"convert it: iconv -f latin1 -t utf-8 {path} > wine.csv",
        ) from None
    # str.splitlines would also break a line at form feeds and at U+2028.
    return io.StringIO(text, newline=None).read()


def _content(path: Path) -> bytes:
    try:
        # A pipe, such as the shell's <(command), is as good as a file; a device may never end.
        if path.is_dir() or path.is_block_device() or path.is_char_device():
            raise _refusal("DATA_NOT_A_FILE", f"{path} is not a file", fix="name the CSV file itself: --data FILE")
        return path.read_bytes()
    except FileNotFoundError:
        raise _refusal("DATA_NOT_FOUND", f"{path} does not exist", fix="check the path given to --data") from None
    except OSError as error:
        why = error.strerror or str(error)
        raise _refusal(
            "DATA_UNREADABLE", f"{path} cannot be read", why=why, fix=f"make it readable: ls -l {path}"
        ) from None


def _header(path: Path, number: int, line: str) -> _Header:
    splits = {separator: _split(line, separator) for separator in SEPARATORS}
    separator = max(splits, key=lambda candidate: len(splits[candidate]))
    if len(splits[separator]) > 1:
        return _Header(path, separator, [name.strip() for name in splits[separator]])
    raise _refusal(
        "DATA_WRONG_SEPARATOR",
        f"{path}, line {number}: the header is not separated by , or ;",
        evidence=(("header", _quote(line)),),
        why="it is separated by tabs" if "\t" in line else "it holds one single column",
        fix=_FIX,
    )


def _columns(header: _Header) -> list[int]:
    """Where each of `COLUMNS` stands in the file, counted from 0."""
    path, names = header.path, header.names
    found = (("found", ", ".join(names)),)
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        what = f"{path} lacks the {'column' if len(missing) == 1 else 'columns'} {', '.join(missing)}"
        raise _refusal("DATA_MISSING_COLUMN", what, evidence=found, fix=_FIX)
    twice = next((name for name in COLUMNS if names.count(name) > 1), None)
    if twice:
        what = f"{path} has the column {twice} twice"
        raise _refusal("DATA_DUPLICATE_COLUMN", what, evidence=found, fix="keep one of them")
    return [names.index(name) for name in COLUMNS]


def _row(header: _Header, columns: list[int], number: int, line: str) -> list[float]:
    fields = _split(line, header.separator)
    if len(fields) != len(header.names):
        raise _field_count(header, number, line, len(fields))
    return [
        _number(f"{header.path}, line {number}, column {column + 1} ({header.names[column]})", fields[column])
        for column in columns
    ]


def _split(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator))
    except csv.Error:  # a field beyond the reader's limit of 128 KiB: no row of this table, whatever it is
        return [line]


def _field_count(header: _Header, number: int, line: str, found: int) -> HomeportError:
    needed = len(header.names)
    other = SEPARATORS[1 - SEPARATORS.index(header.separator)]
    why = ""
    if line.count('"') % 2:
        why = "a quote is opened and not closed"
    elif line.count(other) >= needed - 1:
        why = f"the header is separated by {header.separator} and this line by {other}"
    return _refusal(
        "DATA_FIELD_COUNT",
        f"{header.path}, line {number}: {needed} fields needed, {found} found",
        evidence=(("line", _quote(line)),),
        why=why,
        fix=f"give every line the {needed} fields of the header, separated by {header.separator}",
    )


def _number(place: str, text: str) -> float:
    stripped = text.strip()
    if not stripped:
        raise _refusal("DATA_MISSING_VALUE", f"{place}: no value", fix="fill it in, or leave the whole line out")
    try:
        # float() also reads 1_000, which no other CSV reader takes for a number.
        value = float("not a number" if "_" in stripped else stripped)
    except ValueError:
        raise _refusal(
            "DATA_NOT_A_NUMBER",
            f"{place}: {_quote(stripped)} is not a number",
            why="it has a decimal comma" if stripped.replace(",", "", 1).lstrip("-").isdigit() else "",
            fix="write numbers like 0.27, with a point and without units",
        ) from None
    if not math.isfinite(value):
        what = f"{place}: {_quote(stripped)} is not a finite number"
        raise _refusal("DATA_NOT_FINITE", what, fix="correct it, or leave the whole line out")
    return value


def _check_size(path: Path, rows: list[list[float]]) -> None:
    if not rows:
        raise _refusal(
            "DATA_NO_ROWS",
            f"{path} has a header and no rows",
            fix="add the rows, or leave out --data to use the published file",
        )
    if len(rows) < MIN_ROWS:
        raise _refusal(
            "DATA_TOO_FEW_ROWS",
            f"{path}: at least {MIN_ROWS} rows needed, {len(rows)} found",
            why="a fifth of the rows is held out to score the model, and fewer than ten held-out rows score nothing",
            fix="add rows, or leave out --data to use the published file",
        )


def _quote(text: str) -> str:
    shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return repr(shown)


def _refusal(
    code: str, what: str, *, why: str = "", fix: str = "", evidence: tuple[tuple[str, str], ...] = ()
) -> HomeportError:
    return HomeportError(code, what, why=why, fix=fix, evidence=evidence, exit_code=ExitCode.USAGE)
