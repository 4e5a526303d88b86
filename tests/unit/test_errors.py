from __future__ import annotations

from homeport.errors import HomeportError


def test_a_block_says_what_evidence_why_fix_and_code_in_that_order() -> None:
    error = HomeportError(
        code="TRACKING_UNHEALTHY",
        what="tracking did not become healthy in 60 s",
        evidence=(("last probe", "GET /ready -> 503: database: password authentication failed"),),
        why="data/database was created with another password",
        fix="restore secrets/database-password, or start over: homeport down --volumes",
        log="logs/tracking.log",
        aside="everything this command started was stopped",
    )
    assert error.block() == (
        "tracking did not become healthy in 60 s\n"
        "  last probe   GET /ready -> 503: database: password authentication failed\n"
        "  why          data/database was created with another password\n"
        "  fix          restore secrets/database-password, or start over: homeport down --volumes\n"
        "  code         TRACKING_UNHEALTHY · log: logs/tracking.log · everything this command started was stopped"
    )


def test_evidence_of_several_lines_is_aligned_below_its_label() -> None:
    error = HomeportError(code="X", what="it failed", evidence=(("last lines", "one\ntwo"),))
    assert "  last lines   one\n               two\n" in error.block() + "\n"


def test_an_error_survives_the_way_through_json() -> None:
    error = HomeportError(code="X", what="w", why="y", fix="f", evidence=(("a", "b"),), log="l", aside="s", exit_code=2)
    assert HomeportError.from_dict(error.as_dict()) == error


def test_an_object_with_missing_keys_still_becomes_an_error() -> None:
    assert HomeportError.from_dict({"what": "only this"}).code == "UNKNOWN"
