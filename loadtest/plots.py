"""The pictures of a report, as SVG: throughput, latency and replicas over time. Knows numbers, and no platform."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt

from loadtest.counted import ALL, Numbers, moments
from loadtest.replicas import Sample
from loadtest.timeline import Timeline

_COLOURS = {
    "writer": "#0b6e4f", "reader": "#3b6fb6", "predictor": "#c8553d", "artifacts": "#8a6fb0", ALL: "#24292f",
    "tracking": "#0b6e4f", "serving": "#c8553d",
}  # fmt: skip
_LOOK = {"svg.hashsalt": "homeport", "font.family": "sans-serif", "text.color": "#24292f", "font.size": 9}
_GRID = "#e3e6ea"


def draw(timeline: Timeline, numbers: Numbers, samples: Sequence[Sample], directory: Path) -> Mapping[str, str]:
    """Write the pictures there; file name -> what it shows."""
    groups = sorted({kind.split()[0] for kind in timeline.kinds})
    with mpl.rc_context(_LOOK):
        _throughput(timeline, groups, directory / "throughput.svg")
        _latency(timeline, groups, directory / "latency.svg")
        found = {"throughput.svg": "Right answers and failures a second", "latency.svg": "p50 and p99 over time"}
        if samples:
            _replicas(samples, numbers, directory / "replicas.svg")
            found["replicas.svg"] = "Ready replicas over time"
    return found


def _throughput(timeline: Timeline, groups: Sequence[str], file: Path) -> None:
    figure, axis = plt.subplots(figsize=(9, 3.2))
    for group in [*groups, ALL]:
        axis.plot(moments(timeline, group).rate, color=_colour(group), linewidth=2, label=group)
    failed = moments(timeline, ALL).failed
    if any(failed):
        axis.bar(range(len(failed)), failed, color="#d1242f", width=1.0, label="failed")
    axis.set(xlabel="seconds", ylabel="a second")
    _finish(figure, [axis], file)


def _latency(timeline: Timeline, groups: Sequence[str], file: Path) -> None:
    figure, axes = plt.subplots(1, max(1, len(groups)), figsize=(9, 3.2), sharey=True, squeeze=False)
    for axis, group in zip(axes[0], groups, strict=False):
        found = moments(timeline, group)
        axis.plot(found.p99, color=_colour(group), linewidth=1.2, alpha=0.55, label="p99")
        axis.plot(found.p50, color=_colour(group), linewidth=2, label="p50")
        axis.set_title(group, loc="left", fontsize=10)
        axis.set(xlabel="seconds", yscale="log")
    axes[0][0].set_ylabel("milliseconds")
    _finish(figure, axes[0], file)


def _replicas(samples: Sequence[Sample], numbers: Numbers, file: Path) -> None:
    figure, axis = plt.subplots(figsize=(9, 2.4))
    for component in sorted({sample.component for sample in samples}):
        points = sorted(
            (sample.at - numbers.begin, sample.ready) for sample in samples if sample.component == component
        )
        axis.step(*zip(*points, strict=True), where="post", color=_colour(component), linewidth=2, label=component)
    axis.set(xlabel="seconds", ylabel="ready replicas", xlim=(0, max(1, numbers.seconds)))
    axis.yaxis.get_major_locator().set_params(integer=True)
    axis.set_ylim(bottom=0)
    _finish(figure, [axis], file)


def _colour(name: str) -> str:
    return _COLOURS.get(name, "#8a8f98")


def _finish(figure: Any, axes: Any, file: Path) -> None:
    for axis in axes:
        axis.grid(axis="y", color=_GRID, linewidth=0.8)
        axis.spines[["top", "right"]].set_visible(False)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)
