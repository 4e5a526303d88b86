"""The table of `tracking.py`: two servers a line, their ratio, and the bar it should meet. Refuses to measure."""

from __future__ import annotations

import os
import platform as machine
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tracking_load import Rates


@dataclass
class Row:
    """One line of the table."""

    name: str
    bar: float | None
    stock: Rates
    ours: Rates
    note: str = ""
    more_is_better: bool = True

    @property
    def ratio(self) -> float:
        """Ours to theirs."""
        return self.ours.median / self.stock.median if self.stock.median else 0.0

    @property
    def verdict(self) -> str:
        """The ratio beside its bar."""
        if self.bar is None:
            return f"{self.ratio:.2f} ×"
        met = self.ratio >= self.bar if self.more_is_better else self.ratio <= self.bar
        return f"{self.ratio:.2f} × (bar {'≥' if self.more_is_better else '≤'} {self.bar:g}{'' if met else ', MISSED'})"


def numbers(row: Row) -> dict[str, Any]:
    """One line for a machine."""
    return {
        "name": row.name, "bar": row.bar, "ratio": row.ratio, "unit": row.ours.unit, "note": row.note,
        **{
            name: {
                "median": rates.median, "rounds": rates.values, "p50_p99_ms": rates.latencies, "failed": rates.failed,
            }
            for name, rates in (("left", row.stock), ("right", row.ours))
        },
    }  # fmt: skip


def show(rows: Sequence[Row]) -> None:
    """The table."""
    print(
        f"\n{os.cpu_count()} cores, {machine.machine()}, Python {machine.python_version()}, clients on the same cores"
    )
    print("medians, lowest to highest in brackets; p50 / p99 of a request")
    table = [("", "stock", "", "Homeport", "", "ratio", "")]
    table += [
        (row.name, str(row.stock), row.stock.latency, str(row.ours), row.ours.latency, row.verdict, row.note)
        for row in rows
    ]
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
