"""What can be chosen about a training run, with the defaults that the command line shows; pure data."""

from __future__ import annotations

from dataclasses import dataclass

# Held-out rows must stay the same from run to run: with another seed the champion would be scored on rows it has
# learned from. So the split is no option.
SPLIT_SEED = 42
HELD_OUT = 0.2  # fraction of the rows

CHAMPION = "champion"


@dataclass(frozen=True)
class WineOptions:
    """XGBoost's settings; the defaults did best in a five-fold cross-validation on the rows to learn from.

    Args:
        max_depth: levels of a tree.
        min_child_weight: least number of rows in a leaf.
        n_estimators: trees, one a boosting round.
    """

    max_depth: int = 8
    min_child_weight: float = 3.0
    n_estimators: int = 500


@dataclass(frozen=True)
class PenguinOptions:
    """Logistic regression's settings.

    Args:
        c: inverse strength of the regularisation, scikit-learn's ``C``.
    """

    c: float = 1.0


@dataclass(frozen=True)
class RunOptions:
    """What every pipeline takes.

    Args:
        uri: the tracking server.
        experiment: the experiment's name; made when it is missing.
        model: the registered model's name; made when it is missing.
        force_promote: give the new version the alias whatever the comparison says.
    """

    uri: str
    experiment: str
    model: str
    force_promote: bool = False
