"""Draws how search and history grow: `tracking_plot.py FILE SVG`, of what `tracking.py --growth --json FILE` wrote."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt

_LINE = re.compile(r"growth: (\w+), ([\d,]+) runs")
_TITLES = {
    "search": "runs/search: first 100 runs\n20 metrics and 20 params each",
    "history": "metrics/get-history: 10,000 points\nbeside 100 metric rows a run",
}
_SERVERS = (("right", "Homeport", "#0b6e4f"), ("left", "stock MLflow", "#8a8f98"))
_PAPER, _INK = "#ffffff", "#24292f"


def main() -> None:
    """Draw."""
    source, target = map(Path, sys.argv[1:])
    draw(json.loads(source.read_text()), target)


def draw(rows: list[dict[str, Any]], target: Path) -> None:
    """One panel a call, one line a server, both axes logarithmic."""
    mpl.rcParams.update({"svg.hashsalt": "homeport", "font.family": "sans-serif", "text.color": _INK})
    figure, axes = plt.subplots(1, len(_TITLES), figsize=(9, 3.6), sharey=True, facecolor=_PAPER)
    for axis, (call, title) in zip(axes, _TITLES.items(), strict=True):
        found = [(int(match[2].replace(",", "")), row) for row in rows if (match := _LINE.match(row["name"]))]
        found = [(runs, row) for runs, row in found if row["name"].startswith(f"growth: {call}")]
        for side, name, colour in _SERVERS:
            sizes = [runs for runs, _ in found]
            rates = [row[side]["median"] for _, row in found]
            axis.plot(sizes, rates, marker="o", color=colour, linewidth=2, label=name)
            for runs, rate in zip(sizes, rates, strict=True):
                axis.annotate(f"{rate:.3g}", (runs, rate), xytext=(0, 8), textcoords="offset points", ha="center",
                              fontsize=8, color=colour)  # fmt: skip
        axis.set(xscale="log", yscale="log", xlabel="runs in the experiment")
        axis.set_title(title, fontsize=10, loc="left", color=_INK)
        axis.set_xticks([runs for runs, _ in found], [f"{runs:,}" for runs, _ in found])
        axis.minorticks_off()
        axis.margins(x=0.12, y=0.2)
        axis.grid(axis="y", color="#e3e6ea", linewidth=0.8)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("requests a second, one connection")
    axes[1].legend(frameon=False, loc="center right", fontsize=9)
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None} if target.suffix == ".svg" else None)


if __name__ == "__main__":
    main()
