"""What a parser says it accepts is what it accepts: the chart's schema is written from it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.accepts import Accepts, Taking
from homeport.knobs import Knob, choice, domain, flag, number, real, s3_bucket, uri
from homeport.settings import knobs

SPOKEN = [knob for knob in knobs() if isinstance(knob.parse, Taking)]
NUMBERS = [knob for knob in SPOKEN if knob.accepts.kind in (int, float)]
WORDS = [knob for knob in SPOKEN if knob.accepts.words]


def takes(parse: Callable[[object], object], raw: object) -> bool:
    try:
        parse(raw)
    except ValueError:
        return False
    return True


def test_most_settings_say_what_they_accept() -> None:
    assert {"workers", "fastlane", "domain", "bucket", "backend_store_uri", "jobs", "prediction_log"} <= {
        knob.name for knob in SPOKEN
    }


@pytest.mark.parametrize("knob", NUMBERS, ids=lambda knob: knob.name)
def test_a_number_is_taken_from_one_end_to_the_other_and_not_beyond(knob: Knob) -> None:
    least, most = knob.accepts.least, knob.accepts.most
    assert least is not None
    assert most is not None
    assert takes(knob.parse, least if knob.accepts.kind is float else int(least))
    assert takes(knob.parse, most if knob.accepts.kind is float else int(most))
    assert not takes(knob.parse, least - 1)
    assert not takes(knob.parse, most + 1)


@pytest.mark.parametrize("knob", WORDS, ids=lambda knob: knob.name)
def test_each_word_of_a_choice_is_taken_and_no_other(knob: Knob) -> None:
    assert all(takes(knob.parse, word) for word in knob.accepts.words)
    assert not takes(knob.parse, "none-of-them")


def test_a_parser_of_each_kind_says_its_kind() -> None:
    assert number(1, 5).accepts == Accepts(int, 1, 5)
    assert real(0, 0.5).accepts == Accepts(float, 0, 0.5)
    assert choice("a", "b").accepts == Accepts(words=("a", "b"))
    assert uri("s3", "").accepts == Accepts(schemes=("s3", ""))
    assert flag.accepts == Accepts(bool)


_NAME = st.text(st.sampled_from("ab0.-_A"), max_size=9) | st.sampled_from(
    ["a" * 63, "a" * 64, "a." * 126 + "a", "a..b"]
)


@given(_NAME)
def test_a_bucket_name_is_judged_by_its_pattern_alone(name: str) -> None:
    assert takes(s3_bucket, name) == s3_bucket.accepts.fits(name)
    assert not (s3_bucket.accepts.fits(name) and (".." in name or name[0] in ".-" or name[-1] in ".-"))


@given(_NAME)
def test_a_domain_that_fits_the_pattern_is_taken_as_it_stands(name: str) -> None:
    if domain.accepts.fits(name):
        assert domain(name) == name
    elif name == name.lower().rstrip("."):
        assert not takes(domain, name)


def test_a_knob_whose_parser_says_nothing_takes_any_text() -> None:
    assert next(knob for knob in knobs() if knob.name == "admin_username").accepts == Accepts()
