"""Draws what `queueing.py` simulated: replicas and latency against the load, and the autoscaler's answer to a step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from queueing_autoscaling import Course

_GREEN, _RED, _BLUE, _GREY = "#0b6e4f", "#c8553d", "#3b6fb6", "#8a8f98"
_LOOK = {"svg.hashsalt": "homeport", "font.family": "sans-serif", "text.color": "#24292f", "font.size": 9}


def draw(rows: Sequence[dict[str, Any]], course: Course, target: Path) -> None:
    """Three panels."""
    with mpl.rc_context(_LOOK):
        figure, axes = plt.subplots(1, 3, figsize=(12, 3.6))
        _needs(axes[0], rows)
        _waits(axes[1], rows)
        _step(axes[2], course)
        for axis in axes:
            axis.grid(axis="y", color="#e3e6ea", linewidth=0.8)
            axis.spines["top"].set_visible(False)
        figure.tight_layout()
        figure.savefig(target, metadata={"Date": None} if target.suffix == ".svg" else None)
        plt.close(figure)


def _needs(axis: Any, rows: Sequence[dict[str, Any]]) -> None:
    scales = [row["scale"] for row in rows]
    for key, colour, name in (
        ("tracking", _GREEN, "tracking replicas"), ("serving", _RED, "serving replicas"),
        ("cores", _BLUE, "PostgreSQL's cores"),
    ):  # fmt: skip
        axis.plot(scales, [row[key] for row in rows], marker="o", color=colour, linewidth=2, label=name)
    axis.set(xscale="log", yscale="log", xlabel="times a small team's load")
    axis.set_title("needed, at most 70 % busy (simulated)", loc="left", fontsize=10)
    axis.legend(frameon=False, fontsize=8)


def _waits(axis: Any, rows: Sequence[dict[str, Any]]) -> None:
    scales = [row["scale"] for row in rows]
    for key, colour, name in (
        ("log_metric_ms", _GREEN, "log-metric"), ("search_ms", _BLUE, "page search"),
        ("predict_ms", _RED, "prediction"),
    ):  # fmt: skip
        axis.plot(scales, [row[key][1] for row in rows], marker="o", color=colour, linewidth=2, label=f"{name} p99")
        axis.plot(scales, [row[key][0] for row in rows], color=colour, linewidth=1, linestyle=":", label=f"{name} p50")
    axis.set(xscale="log", yscale="log", xlabel="times a small team's load", ylabel="milliseconds")
    axis.set_title("how long it takes then", loc="left", fontsize=10)
    axis.legend(frameon=False, fontsize=7)


def _step(axis: Any, course: Course) -> None:
    seconds = range(len(course.rate))
    axis.plot(seconds, course.rate / 1000, color=_GREY, linewidth=1.5, label="1,000 requests/s")
    axis.plot(seconds, course.refused / 1000, color="#d1242f", linewidth=1.2, label="1,000 refused/s")
    axis.step(seconds, course.ready, where="post", color=_RED, linewidth=2, label="ready replicas")
    axis.set(xlabel="seconds", ylim=(0, None))
    axis.set_title("autoscaler, ten times the predictions at once", loc="left", fontsize=10)
    axis.legend(frameon=False, fontsize=8)
