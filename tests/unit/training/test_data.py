from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeport.errors import HomeportError
from homeport.training.data import COLUMNS, MIN_ROWS, read_wine_table
from tests.unit.training.wine_text import ROW, table_text


def _with(column: str, value: str, line: int = 3, separator: str = ",") -> bytes:
    """A valid file except for one value; line 1 is the header."""
    rows = [list(ROW) for _ in range(60)]
    rows[line - 2][COLUMNS.index(column)] = value
    return table_text(rows, separator).encode()


def _without(column: str) -> bytes:
    lines = [line.split(",") for line in table_text().splitlines()]
    index = COLUMNS.index(column)
    return "\n".join(",".join(fields[:index] + fields[index + 1 :]) for fields in lines).encode()


HEADER = table_text([]).encode()

BAD_FILES = {
    "a missing column is named, with those found": (_without("pH"), "DATA_MISSING_COLUMN", ["lacks", "pH", "density"]),
    "a repeated column is named": (HEADER.replace(b'"pH"', b'"alcohol"'), "DATA_MISSING_COLUMN", ["pH"]),
    "a column that is there twice is named": (
        HEADER.rstrip() + b',"pH"\n' + (",".join([*ROW, "3"]) + "\n").encode() * 60,
        "DATA_DUPLICATE_COLUMN",
        ["pH", "twice"],
    ),
    "text in a number": (_with("residual sugar", "sweet"), "DATA_NOT_A_NUMBER", ["line 3", "column 4", "'sweet'"]),
    "digits grouped by an underscore": (_with("alcohol", "1_0"), "DATA_NOT_A_NUMBER", ["column 11", "'1_0'"]),
    "a decimal comma": (_with("pH", "3,2", separator=";"), "DATA_NOT_A_NUMBER", ["'3,2'", "decimal comma"]),
    "no value": (_with("pH", " "), "DATA_MISSING_VALUE", ["line 3", "column 9 (pH)"]),
    "not a number": (_with("pH", "nan"), "DATA_NOT_FINITE", ["line 3", "column 9", "'nan'"]),
    "infinity": (_with("pH", "-inf"), "DATA_NOT_FINITE", ["'-inf'"]),
    "a number too large to hold": (_with("pH", "1e999"), "DATA_NOT_FINITE", ["'1e999'"]),
    "an empty file": (b"", "DATA_EMPTY", ["is empty"]),
    "blank lines only": (b"\n \r\n\n", "DATA_EMPTY", ["is empty"]),
    "a header only": (HEADER, "DATA_NO_ROWS", ["no rows"]),
    "tabs": (table_text(separator="\t").encode(), "DATA_WRONG_SEPARATOR", ["line 1", "tabs"]),
    "one column": (b"quality\n6\n", "DATA_WRONG_SEPARATOR", ["line 1", "single column"]),
    "rows separated unlike the header": (
        HEADER + (";".join(ROW) + "\n").encode() * 60,
        "DATA_FIELD_COUNT",
        ["line 2", "12 fields needed, 1 found", "by , and this line by ;"],
    ),
    "a short line": (
        table_text([ROW, ROW[:-1]]).encode(),
        "DATA_FIELD_COUNT",
        ["line 3", "12 fields needed, 11 found"],
    ),
    "a long line": (table_text([ROW, (*ROW, "1")]).encode(), "DATA_FIELD_COUNT", ["line 3", "13 found"]),
    "an open quote": (HEADER + b'7,"0.27' + b",1" * 10 + b"\n", "DATA_FIELD_COUNT", ["line 2", "not closed"]),
    "a field of a million characters": (HEADER + b"1" * 1_000_000 + b"\n", "DATA_FIELD_COUNT", ["line 2"]),
    "too few rows": (table_text([ROW] * 49).encode(), "DATA_TOO_FEW_ROWS", ["50 rows needed, 49 found"]),
    "Latin-1": (table_text().replace("pH", "pH°").encode("latin-1"), "DATA_NOT_UTF8", ["line 1", "0xb0", "iconv"]),
    "UTF-16": (table_text().encode("utf-16"), "DATA_NOT_UTF8", ["UTF-16"]),
    "binary": (b"PK\x03\x04\x00\x00", "DATA_BINARY", ["zero byte at offset 4"]),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_refused_with_the_place_and_the_way_out(name: str, tmp_path: Path) -> None:
    content, code, words = BAD_FILES[name]
    path = tmp_path / "wine.csv"
    path.write_bytes(content)
    with pytest.raises(HomeportError) as caught:
        read_wine_table(path)
    assert (caught.value.code, caught.value.exit_code) == (code, 2)
    assert str(path) in caught.value.what
    assert caught.value.fix
    block = caught.value.block()
    assert [word for word in words if word not in block] == []
    assert len(block) < 1500


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HomeportError, match="does not exist") as caught:
        read_wine_table(tmp_path / "absent.csv")
    assert caught.value.code == "DATA_NOT_FOUND"


def test_a_directory_and_an_endless_device_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, Path("/dev/zero")):
        with pytest.raises(HomeportError, match="is not a file") as caught:
            read_wine_table(path)
        assert caught.value.code == "DATA_NOT_A_FILE"


def test_a_path_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HomeportError) as caught:
        read_wine_table(tmp_path / "file" / "wine.csv")
    assert caught.value.code in {"DATA_UNREADABLE", "DATA_NOT_FOUND"}


def test_a_pipe_is_as_good_as_a_file() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as pipe:
        pipe.write(table_text())
    try:
        assert len(read_wine_table(Path(f"/dev/fd/{reading}")).values) == 60
    finally:
        os.close(reading)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_every_line_ending_a_byte_order_mark_and_blank_lines_are_read(ending: str, tmp_path: Path) -> None:
    path = tmp_path / "wine.csv"
    path.write_bytes(("\ufeff\n" + table_text() + "\n\n").replace("\n", ending).encode())
    table = read_wine_table(path)
    assert table.values.shape == (60, 12)
    assert table.values[0].tolist() == [float(value) for value in ROW]


def test_columns_that_are_not_used_are_named_and_may_hold_anything(tmp_path: Path) -> None:
    path = tmp_path / "wine.csv"
    lines = table_text().splitlines()
    path.write_text("\n".join(["colour," + lines[0], *("white," + line for line in lines[1:])]))
    table = read_wine_table(path)
    assert table.ignored == ("colour",)
    assert table.values[0].tolist() == [float(value) for value in ROW]


def test_a_number_may_be_quoted_padded_or_in_scientific_notation(tmp_path: Path) -> None:
    path = tmp_path / "wine.csv"
    path.write_bytes(_with("density", '" 9.9e-1"'))
    assert read_wine_table(path).values[1, COLUMNS.index("density")] == 0.99


_NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(
    row=st.lists(_NUMBERS, min_size=len(COLUMNS), max_size=len(COLUMNS)),
    order=st.permutations(range(len(COLUMNS))),
    quoted=st.booleans(),
)
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_separator_column_order_and_quotes_change_neither_values_nor_digest(
    tmp_path: Path, row: list[float], order: list[int], quoted: bool
) -> None:
    path = tmp_path / "wine.csv"
    tables = []
    for separator in (",", ";"):
        names = [f'"{COLUMNS[index]}"' if quoted else COLUMNS[index] for index in order]
        fields = [f'"{row[index]!r}"' if quoted else repr(row[index]) for index in order]
        path.write_text("\n".join([separator.join(names), *[separator.join(fields)] * MIN_ROWS]))
        tables.append(read_wine_table(path))
    commas, semicolons = tables
    assert (commas.separator, semicolons.separator) == (",", ";")
    assert np.array_equal(commas.values, np.array([row] * MIN_ROWS))
    assert np.array_equal(commas.values, semicolons.values)
    assert commas.digest == semicolons.digest


def test_the_digest_changes_with_one_value(tmp_path: Path) -> None:
    digests = set()
    for value in ("3", "3.0000000000000004"):
        path = tmp_path / "wine.csv"
        path.write_bytes(_with("pH", value))
        digests.add(read_wine_table(path).digest)
    assert len(digests) == 2
