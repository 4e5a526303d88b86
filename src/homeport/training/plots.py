"""The figures a run keeps: plain matplotlib, no display and no global state.

Where a figure is stored it refuses to know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

_WIDTH, _HEIGHT = 7.0, 4.5  # inches
_SPREAD = 0.25  # quality points
_BLUE = "#2563eb"
_GREY = "#9ca3af"


def feature_importance(gains: Mapping[str, float]) -> Figure:
    """Horizontal bars, the most important feature on top.

    Args:
        gains: feature name to the average gain of its splits, as a share of all features', between 0 and 1.
    """
    ordered = sorted(gains.items(), key=lambda pair: pair[1])
    figure, axes = _axes("Feature importance", "average gain of a split, as a share of all", "")
    axes.barh([name for name, _ in ordered], [gain for _, gain in ordered], color=_BLUE)
    return figure


def predicted_against_true(true: NDArray[np.float64], predicted: NDArray[np.float64]) -> Figure:
    """A scatter of predictions over true values, with the line on which they agree; both of shape (rows,)."""
    low, high = float(min(true.min(), predicted.min())), float(max(true.max(), predicted.max()))
    figure, axes = _axes("Predicted against true, held-out rows", "true", "predicted")
    axes.plot([low, high], [low, high], color=_GREY, linewidth=1)
    # True grades are whole numbers: spread a little sideways, points do not hide each other.
    sideways = np.random.default_rng(0).uniform(-_SPREAD, _SPREAD, len(true))
    axes.scatter(true + sideways, predicted, s=12, alpha=0.35, color=_BLUE, linewidths=0)
    return figure


def confusion_matrix(counts: NDArray[np.int64], labels: Sequence[str]) -> Figure:
    """A table of counts, true labels down and predicted labels across.

    Args:
        counts: shape (labels, labels).
        labels: in the order of the rows and columns.
    """
    figure, axes = _axes("Confusion matrix, held-out rows", "predicted", "true")
    axes.imshow(counts, cmap="Blues")
    axes.set_xticks(range(len(labels)), labels)
    axes.set_yticks(range(len(labels)), labels)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if count > counts.max() / 2 else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=colour)
    return figure


def _axes(title: str, across: str, up: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    return figure, axes
