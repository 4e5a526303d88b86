"""Draws throughput against replicas: `replicas_plot.py FILE SVG`, of what `replicas.py --json FILE` wrote."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt

_COLOURS = {"log-metric": "#0b6e4f", "runs/get": "#3b6fb6", "predict": "#c8553d", "log-batch": "#8a6fb0"}
_LOOK = {"svg.hashsalt": "homeport", "font.family": "sans-serif", "text.color": "#24292f"}


def main() -> None:
    """Draw."""
    source, target = map(Path, sys.argv[1:])
    draw(json.loads(source.read_text()), target)


def draw(rows: list[dict[str, Any]], target: Path) -> None:
    """Left: requests a second. Right: what one request costs whom, in CPU time."""
    with mpl.rc_context(_LOOK):
        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6))
        most = max(row["replicas"] for row in rows)
        kinds = [row["kind"] for row in rows if row["replicas"] == most]
        for kind in kinds:
            mine = [row for row in rows if row["kind"] == kind]
            left.plot(
                [row["replicas"] for row in mine], [row["median"] for row in mine], marker="o", linewidth=2,
                color=_COLOURS.get(kind, "#8a8f98"), label=kind,
            )  # fmt: skip
        left.set(xlabel="replicas", ylabel="requests a second", xticks=sorted({row["replicas"] for row in rows}))
        left.set_title(f"behind Traefik, {os.cpu_count()} cores for everything", fontsize=10, loc="left")
        left.set_yscale("log")
        left.legend(frameon=False, fontsize=8)
        _costs(right, [row for row in rows if row["kind"] in kinds and row["replicas"] == 1])
        for axis in (left, right):
            axis.grid(axis="y", color="#e3e6ea", linewidth=0.8)
            axis.set_axisbelow(True)
            axis.spines[["top", "right"]].set_visible(False)
        figure.tight_layout()
        figure.savefig(target, metadata={"Date": None} if target.suffix == ".svg" else None)
        plt.close(figure)


def _costs(axis: Any, rows: list[dict[str, Any]]) -> None:
    parts = {"tracking": "#0b6e4f", "serving": "#c8553d", "database": "#3b6fb6", "balancer": "#8a8f98"}
    below = [0.0] * len(rows)
    for who, colour in parts.items():
        spent = [row["cost"].get(who, 0.0) for row in rows]
        axis.bar([row["kind"] for row in rows], spent, bottom=below, color=colour, label=who)
        below = [low + more for low, more in zip(below, spent, strict=True)]
    axis.set_ylabel("µs of CPU a request")
    axis.set_title("where the time of a request goes, 1 replica", fontsize=10, loc="left")
    axis.legend(frameon=False, fontsize=8)


if __name__ == "__main__":
    main()
