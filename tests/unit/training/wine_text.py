"""A valid wine-quality file as text, for tests to spoil."""

from __future__ import annotations

from collections.abc import Iterable

from homeport.training.data import COLUMNS

ROW = ("7", "0.27", "0.36", "20.7", "0.045", "45", "170", "1.001", "3", "0.45", "8.8", "6")


def table_text(rows: Iterable[Iterable[str]] | None = None, separator: str = ",") -> str:
    """A CSV file with a quoted header; sixty equal rows unless others are given."""
    header = separator.join(f'"{name}"' for name in COLUMNS)
    lines = [separator.join(row) for row in (rows if rows is not None else [ROW] * 60)]
    return "\n".join([header, *lines]) + "\n"
