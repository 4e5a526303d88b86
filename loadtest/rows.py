"""The rows that are predicted: from a CSV file, or drawn around the model's own input example. No request is made."""

from __future__ import annotations

import csv
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from homeport.errors import ExitCode, HomeportError

Row = list[Any]
_DRAWN = 1_000
_SPREAD = 0.1  # of a number, both ways


def columns(example: Mapping[str, Any]) -> tuple[list[str], list[Row]]:
    """Names and rows of an input example as `/status` has it: a request of the scoring protocol.

    Raises:
        HomeportError: LOADTEST_EXAMPLE.
    """
    match example:
        case {"dataframe_split": {"columns": list(names), "data": list(data)}} if data:
            return [str(name) for name in names], [list(row) for row in data]
        case {"dataframe_records": [Mapping(), *_] as records}:
            names = list(records[0])
            return names, [[record[name] for name in names] for record in records]
    raise HomeportError(
        code="LOADTEST_EXAMPLE",
        what="the model's input example is not a table",
        evidence=(("example", str(example)[:200]),),
        fix="name another model with --model, or leave predictions out: --shares writer=4,reader=2,artifacts=1",
        exit_code=ExitCode.USAGE,
    )


def drawn(data: Sequence[Row], count: int = _DRAWN) -> list[Row]:
    """Rows near those: numbers up to 10 % away (whole ones stay whole), texts and truths as they occur."""
    chance = random.Random(20_260_101)  # noqa: S311 - the same rows in every process

    def near(cell: Any) -> Any:
        if isinstance(cell, bool) or not isinstance(cell, int | float):
            return cell
        moved = cell * chance.uniform(1 - _SPREAD, 1 + _SPREAD)
        return round(moved) if isinstance(cell, int) else moved

    return [[near(cell) for cell in chance.choice(data)] for _ in range(count)]


def from_csv(file: Path, names: Sequence[str], example: Row) -> list[Row]:
    """Those columns of a CSV file with commas or semicolons; as numbers where the example has numbers.

    Raises:
        HomeportError: LOADTEST_ROWS.
    """
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            head = lines.readline()
            lines.seek(0)
            table = list(csv.DictReader(lines, delimiter=";" if head.count(";") > head.count(",") else ","))
    except (OSError, UnicodeDecodeError) as error:
        raise _unfit(file, str(error)) from error
    if not table:
        raise _unfit(file, "there is no row in it")
    by_name = {_plain(name): name for name in table[0] if name}
    missing = [name for name in names if _plain(name) not in by_name]
    if missing:
        raise _unfit(file, f"there is no column {', '.join(missing)}")
    kinds = [type(cell) if isinstance(cell, int | float) and not isinstance(cell, bool) else str for cell in example]
    try:
        return [
            [kind(float(line[by_name[_plain(name)]])) if kind is not str else line[by_name[_plain(name)]]
             for name, kind in zip(names, kinds, strict=True)]
            for line in table
        ]  # fmt: skip
    except (ValueError, TypeError) as error:
        raise _unfit(file, str(error)) from error


def _plain(name: str) -> str:
    """`Fixed Acidity` and fixed_acidity are one."""
    return re.sub(r"[^a-z0-9]+", "_", name.strip().lower())


def _unfit(file: Path, why: str) -> HomeportError:
    return HomeportError(
        code="LOADTEST_ROWS",
        what=f"{file} holds no rows for the model",
        why=why,
        fix="give a CSV file with a header that names the model's columns, or none at all",
        exit_code=ExitCode.USAGE,
    )
