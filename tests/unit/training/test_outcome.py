from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from homeport.training.outcome import Data, Outcome, run_page
from homeport.training.promotion import Better, Champion, Decision, Reason, Rule

CHAMPION = Champion("2", {"rmse": 0.6166, "mae": 0.4392, "r2": 0.5092}, digest="ab" * 32)
BETTER = Outcome(
    pipeline="wine-quality",
    run_id="0af1",
    run_name="calm-hen-7",
    run_url="http://127.0.0.1:5000/#/experiments/1/runs/0af1",
    experiment="wine-quality",
    seconds=2.94,
    data=Data(Path("wine.csv"), "ab" * 32, 3918, 980),
    metrics={"rmse": 0.57447, "mae": 0.38521, "r2": 0.57388},
    model="wine-quality",
    version="3",
    decision=Decision(promoted=True, reason=Reason.BETTER),
    champion=CHAMPION,
    rule=Rule((("rmse", Better.LOWER),)),
)


def test_the_summary_names_the_run_the_metrics_the_version_and_both_numbers() -> None:
    assert BETTER.summary().splitlines() == [
        "wine-quality trained in 2.9 s: run calm-hen-7",
        "  run       http://127.0.0.1:5000/#/experiments/1/runs/0af1",
        "  data      3,918 rows to learn from, 980 held out",
        "            wine.csv",
        "  metrics   rmse 0.5745 · mae 0.3852 · r2 0.5739",
        "  model     wine-quality version 3",
        "  champion  version 3 takes over from version 2: it is better on the same 980 held-out rows",
        "            version 2: rmse 0.6166",
        "            version 3: rmse 0.5745",
        '  load it   mlflow.pyfunc.load_model("models:/wine-quality@champion")',
    ]


def test_the_summary_says_why_a_champion_could_not_be_compared_and_what_replaces_it() -> None:
    outcome = replace(
        BETTER,
        decision=Decision(promoted=False, reason=Reason.CHAMPION_UNSCORABLE),
        champion=Champion("2", problem="OSError: No such artifact"),
    )
    assert "version 2 stays: it could not be compared; --force-promote replaces it" in outcome.summary()
    assert "version 2: could not be scored: OSError: No such artifact" in outcome.summary()


def test_the_summary_warns_when_the_champion_learned_from_other_data() -> None:
    assert "learned from other data" not in BETTER.summary()
    outcome = replace(BETTER, champion=replace(CHAMPION, digest="cd" * 32))
    assert "version 2 learned from other data: it may know rows that are held out here" in outcome.summary()


def test_every_reason_has_a_sentence() -> None:
    for reason in Reason:
        champion = None if reason is Reason.FIRST else CHAMPION
        outcome = replace(BETTER, decision=Decision(promoted=False, reason=reason), champion=champion)
        assert "  champion  " in outcome.summary()


def test_a_first_model_without_a_finite_score_leaves_the_alias_to_nobody() -> None:
    decision = Decision(promoted=False, reason=Reason.CHALLENGER_UNSCORABLE)
    outcome = replace(BETTER, decision=decision, champion=None)
    assert "  champion  none: version 3 has no finite score" in outcome.summary()
    assert "load it" not in outcome.summary()


def test_the_object_names_the_champion_that_holds_the_alias_now() -> None:
    kept = replace(BETTER, decision=Decision(promoted=False, reason=Reason.NOT_BETTER))
    nobody = replace(kept, decision=Decision(promoted=False, reason=Reason.CHALLENGER_UNSCORABLE), champion=None)
    versions = [json.loads(json.dumps(o.as_dict()))["champion"]["version"] for o in (BETTER, kept, nobody)]
    assert versions == ["3", "2", None]


def test_the_object_always_has_the_same_keys() -> None:
    first = replace(BETTER, decision=Decision(promoted=True, reason=Reason.FIRST), champion=None)
    assert first.as_dict().keys() == BETTER.as_dict().keys()
    assert first.as_dict()["champion"] == {"version": "3", "promoted": True, "reason": "first", "previous": None}


def test_the_run_page_carries_no_password_and_a_database_has_none() -> None:
    assert run_page("https://u:p@host/base/", "1", "0af1") == "https://host/base/#/experiments/1/runs/0af1"
    assert run_page("sqlite:///mlflow.db", "1", "0af1") == "0af1"
