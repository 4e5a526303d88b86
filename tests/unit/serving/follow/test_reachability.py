"""How often the registry is asked."""

from __future__ import annotations

from homeport.serving.follow.errors import RegistryAway, RegistryRefused
from homeport.serving.follow.reachability import Reachability


def test_looks_are_about_the_interval_apart_and_not_in_step() -> None:
    found = Reachability("http://registry")
    found.answered()
    pauses = [found.pause(3) for _ in range(200)]
    assert 2 < min(pauses) < 2.5
    assert 3.5 < max(pauses) < 4


def test_an_absent_registry_is_asked_ever_more_rarely_up_to_half_a_minute() -> None:
    found = Reachability("http://registry")
    longest = []
    for _ in range(20):
        found.failed(RegistryAway("away"))
        longest.append(max(found.pause(3) for _ in range(200)))
    assert longest[0] < 6 < longest[1] < 12 < longest[2]
    assert 25 < longest[-1] <= 30
    found.answered()
    assert found.pause(3) < 4


def test_an_interval_longer_than_half_a_minute_is_kept() -> None:
    found = Reachability("http://registry")
    found.failed(RegistryAway("away"))
    assert found.pause(300) >= 180


def test_since_tells_when_it_changed_and_not_when_it_was_seen_last() -> None:
    found = Reachability("http://registry")
    found.answered()
    first = found.row
    found.answered()
    assert found.row == first
    found.failed(RegistryAway("away"))
    assert found.row["reachable"] is False
    assert found.row["error"] == "away"
    since = found.row["since"]
    found.failed(RegistryAway("still away"))
    assert (found.row["since"], found.row["error"]) == (since, "still away")


def test_a_registry_that_does_not_let_us_in_is_reachable_and_asked_more_rarely() -> None:
    found = Reachability("http://registry")
    found.failed(RegistryRefused("who are you", 401))
    found.failed(RegistryRefused("who are you", 401))
    assert found.reachable
    assert found.row["error"] == "who are you"
    assert max(found.pause(3) for _ in range(200)) > 6
