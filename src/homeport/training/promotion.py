"""Who is champion: one pure rule, the same for every pipeline.

The alias moves only to a model that is strictly better on the same held-out rows. How a model is loaded, scored or
given the alias, this module refuses to know.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

# A model retrained on another processor may differ in the last bits; that is no victory.
_EQUAL_WITHIN = 1e-9

Scores = Mapping[str, float]


class Better(StrEnum):
    """Which way a metric is good."""

    LOWER = "lower"
    HIGHER = "higher"


class Reason(StrEnum):
    """Why the alias moved, or stayed."""

    FIRST = "first"
    BETTER = "better"
    FORCED = "forced"
    NOT_BETTER = "not-better"
    CHAMPION_UNSCORABLE = "champion-unscorable"
    CHALLENGER_UNSCORABLE = "challenger-unscorable"


@dataclass(frozen=True)
class Rule:
    """The metrics to compare, most important first; a later one decides only when the earlier are equal."""

    metrics: tuple[tuple[str, Better], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics' names, in order of importance."""
        return tuple(name for name, _ in self.metrics)


@dataclass(frozen=True)
class Champion:
    """The model version that holds the alias, and how it does on this run's held-out rows.

    Args:
        version: its number in the registry.
        scores: its metrics on those rows; empty when it could not be scored.
        problem: why it could not be scored.
        digest: the data it learned from, as tagged when it was registered; empty when untagged.
    """

    version: str
    scores: Scores = field(default_factory=dict)
    problem: str = ""
    digest: str = ""


@dataclass(frozen=True)
class Decision:
    """Whether the challenger takes the alias, and why."""

    promoted: bool
    reason: Reason


def decide(rule: Rule, challenger: Scores, champion: Champion | None, *, force: bool = False) -> Decision:
    """Compare a challenger with the present champion on the same held-out rows.

    Without a champion the challenger is the first. A champion that cannot be scored keeps the alias: what is in
    service is not replaced on no evidence. `force` overrules both that and a lost comparison, but never gives the
    alias to a challenger whose own scores are not finite.
    """
    if not _finite(rule, challenger):
        return Decision(promoted=False, reason=Reason.CHALLENGER_UNSCORABLE)
    if champion is None:
        return Decision(promoted=True, reason=Reason.FIRST)
    scorable = _finite(rule, champion.scores)
    if scorable and beats(rule, challenger, champion.scores):
        return Decision(promoted=True, reason=Reason.BETTER)
    if force:
        return Decision(promoted=True, reason=Reason.FORCED)
    return Decision(promoted=False, reason=Reason.NOT_BETTER if scorable else Reason.CHAMPION_UNSCORABLE)


def beats(rule: Rule, challenger: Scores, champion: Scores) -> bool:
    """Whether the challenger is strictly better by the first metric in which the two differ."""
    for name, better in rule.metrics:
        new, old = challenger[name], champion[name]
        if math.isclose(new, old, rel_tol=_EQUAL_WITHIN, abs_tol=_EQUAL_WITHIN):
            continue
        return new < old if better is Better.LOWER else new > old
    return False


def _finite(rule: Rule, scores: Scores) -> bool:
    return all(math.isfinite(scores.get(name, math.nan)) for name in rule.names)
