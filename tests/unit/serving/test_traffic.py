from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.serving.traffic import parse


def test_a_rule_names_weights_and_a_shadow() -> None:
    rules = parse("wine-quality: champion 90, challenger 10, shadow next 25; penguins: champion 100")
    wine = rules["wine-quality"]
    assert dict(wine.weights) == {"champion": 90, "challenger": 10}
    assert (wine.shadow, wine.shadow_percent) == ("next", 25)
    assert wine.aliases == ("champion", "challenger", "next")
    assert rules["penguins"].shadow is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("champion 100", "must be like"),
        ("wine: champion 90", "add up to 100, found 90"),
        ("wine: champion 90, challenger 20", "found 110"),
        ("wine: champion", "shares like"),
        ("wine: champion 50, champion 50", "champion once"),
        ("wine: champion 100, shadow champion", "both"),
        ("wine: champion 100, shadow a, shadow b", "one shadow"),
        ("wine: champion 100, shadow a 0", "from 1 to 100"),
        ("wine: champion 100; wine: champion 100", "one rule"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused_with_what_was_needed(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(text)


def test_shares_come_out_as_they_were_given() -> None:
    rule = parse("wine: champion 90, challenger 10")["wine"]
    counts = Counter(rule.choose(f"user-{number}") for number in range(20_000))
    assert 0.085 < counts["challenger"] / 20_000 < 0.115


@given(st.text(min_size=1))
def test_the_same_sticky_text_always_gets_the_same_version(sticky: str) -> None:
    rule = parse("wine: a 50, b 50")["wine"]
    assert len({rule.choose(sticky) for _ in range(5)}) == 1


def test_a_caller_without_a_sticky_header_is_shared_out_by_chance() -> None:
    rule = parse("wine: a 50, b 50")["wine"]
    assert {rule.choose(None) for _ in range(200)} == {"a", "b"}
