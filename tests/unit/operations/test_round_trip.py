from __future__ import annotations

import pytest

from homeport.errors import HomeportError
from homeport.operations.round_trip import STEPS, Step, Trip, Where, travel

HERE = Where("http://tracking:5000")


def _step(title: str, do: object) -> Step:
    return Step(title, do, "because", "look there")  # type: ignore[arg-type] # small functions stand for steps


def test_what_serving_follows_says_which_alias_is_pointed() -> None:
    def alias(served: str) -> str:
        return Where.from_environ({"MLFLOW_TRACKING_URI": "http://t", "HOMEPORT_SERVE": served}).alias

    assert alias("") == "champion"
    assert alias("wine@blue, *@green") == "green"
    assert alias("wine@blue") == ""
    assert alias("none") == ""


def test_a_key_among_several_is_enough_and_is_never_shown() -> None:
    where = Where.from_environ({"MLFLOW_TRACKING_URI": "http://t/", "HOMEPORT_SERVING_KEY": "new-key-1, old-key-2"})

    assert (where.tracking_uri, where.serving_key) == ("http://t", "new-key-1")
    assert "new-key-1" not in repr(where)


def test_without_an_address_it_says_which_variable() -> None:
    with pytest.raises(HomeportError) as refused:
        Where.from_environ({})
    assert "MLFLOW_TRACKING_URI" in refused.value.what


def test_a_step_that_fails_is_named_with_the_evidence_and_the_fix_and_what_was_made_is_taken_away() -> None:
    gone: list[str] = []
    said: list[str] = []

    def make(trip: Trip) -> str:
        trip.undo += [("first", lambda: gone.append("first")), ("second", lambda: gone.append("second"))]
        return "made"

    def fail(_trip: Trip) -> str:
        raise ValueError("expected 1, found 2")

    with pytest.raises(HomeportError) as failed:
        travel(HERE, said.append, (_step("make", make), _step("compare", fail), _step("never", make)))

    text = failed.value.block()
    assert failed.value.code == "ROUND_TRIP_FAILED"
    assert "compare" in failed.value.what
    for word in ("expected 1, found 2", "because", "look there", "gone again"):
        assert word in text
    assert gone == ["second", "first"]
    assert [line.split()[1] for line in said] == ["make"]


def test_what_cannot_be_taken_away_is_an_error_and_does_not_keep_the_rest() -> None:
    gone: list[str] = []

    def refuse() -> None:
        raise PermissionError(13, "Permission denied")

    def make(trip: Trip) -> str:
        trip.undo += [("the experiment", lambda: gone.append("experiment")), ("the model", refuse)]
        return "made"

    with pytest.raises(HomeportError) as failed:
        travel(HERE, lambda _: None, (_step("make", make),))

    assert failed.value.code == "ROUND_TRIP_LEFT"
    assert "the model: Permission denied" in failed.value.block()
    assert gone == ["experiment"]


def test_an_interrupted_trip_leaves_nothing() -> None:
    gone: list[str] = []

    def interrupt(trip: Trip) -> str:
        trip.undo.append(("all", lambda: gone.append("all")))
        raise SystemExit(143)

    with pytest.raises(SystemExit):
        travel(HERE, lambda _: None, (_step("make", interrupt),))
    assert gone == ["all"]


def test_every_step_says_why_it_may_fail_and_where_to_look() -> None:
    assert all(step.title and step.why and step.fix for step in STEPS)
    assert len({step.title for step in STEPS}) == len(STEPS)
