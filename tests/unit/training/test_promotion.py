from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.training.promotion import Better, Champion, Decision, Reason, Rule, beats, decide

LOWER = Rule((("rmse", Better.LOWER),))
TWO = Rule((("accuracy", Better.HIGHER), ("log_loss", Better.LOWER)))


def test_without_a_champion_the_first_model_takes_the_alias() -> None:
    assert decide(LOWER, {"rmse": 9.0}, None) == Decision(promoted=True, reason=Reason.FIRST)


@pytest.mark.parametrize(
    ("new", "old", "wins"),
    [(0.5, 0.6, True), (0.6, 0.5, False), (0.5, 0.5, False), (0.5, 0.5 + 1e-12, False), (0.5, 0.50001, True)],
)
def test_only_a_strictly_lower_error_takes_the_alias(new: float, old: float, wins: bool) -> None:
    decision = decide(LOWER, {"rmse": new}, Champion("1", {"rmse": old}))
    assert decision == Decision(promoted=wins, reason=Reason.BETTER if wins else Reason.NOT_BETTER)


@pytest.mark.parametrize(
    ("new", "old", "wins"),
    [
        ((0.9, 0.9), (0.8, 0.1), True),
        ((0.8, 0.1), (0.9, 0.9), False),
        ((0.9, 0.1), (0.9, 0.2), True),
        ((0.9, 0.2), (0.9, 0.1), False),
        ((0.9, 0.1), (0.9, 0.1), False),
    ],
)
def test_the_second_metric_decides_only_a_tie_of_the_first(
    new: tuple[float, float], old: tuple[float, float], wins: bool
) -> None:
    scores = [dict(zip(TWO.names, pair, strict=True)) for pair in (new, old)]
    assert beats(TWO, *scores) is wins


def test_a_champion_that_cannot_be_scored_keeps_the_alias_unless_forced() -> None:
    broken = Champion("1", problem="its files are gone")
    assert decide(LOWER, {"rmse": 0.1}, broken).reason is Reason.CHAMPION_UNSCORABLE
    assert not decide(LOWER, {"rmse": 0.1}, broken).promoted
    assert decide(LOWER, {"rmse": 0.1}, broken, force=True) == Decision(promoted=True, reason=Reason.FORCED)


def test_a_champion_that_predicts_nonsense_counts_as_not_scorable() -> None:
    assert decide(LOWER, {"rmse": 0.1}, Champion("1", {"rmse": math.nan})).reason is Reason.CHAMPION_UNSCORABLE


def test_force_overrules_a_lost_comparison_and_says_so() -> None:
    champion = Champion("1", {"rmse": 0.1})
    assert decide(LOWER, {"rmse": 0.2}, champion, force=True) == Decision(promoted=True, reason=Reason.FORCED)
    assert decide(LOWER, {"rmse": 0.05}, champion, force=True).reason is Reason.BETTER


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_a_model_without_a_finite_score_never_takes_the_alias(score: float) -> None:
    for champion in (None, Champion("1", {"rmse": 0.1}), Champion("1", problem="gone")):
        decision = decide(LOWER, {"rmse": score}, champion, force=True)
        assert decision == Decision(promoted=False, reason=Reason.CHALLENGER_UNSCORABLE)


_SCORES = st.fixed_dictionaries({name: st.floats(0, 10) for name in TWO.names})


@given(first=_SCORES, second=_SCORES)
def test_two_models_never_beat_each_other(first: dict[str, float], second: dict[str, float]) -> None:
    assert not (beats(TWO, first, second) and beats(TWO, second, first))
    assert not beats(TWO, first, first)
