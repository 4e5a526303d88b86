from __future__ import annotations

from loadtest.ledger import Ledger, Verdict, Written, read, value


def history(*steps: int) -> list[dict[str, float]]:
    return [{"step": step, "value": value(step)} for step in steps]


def compared(written: Written, found: list[dict[str, float]] | None) -> Verdict:
    verdict = Verdict()
    verdict.compare(written, found)
    return verdict


def test_every_step_once_is_good() -> None:
    verdict = compared(Written("r", "loss", 3), history(2, 0, 1))
    assert verdict.good
    assert (verdict.acknowledged, verdict.found) == (3, 3)


def test_a_step_that_is_not_there_is_lost() -> None:
    verdict = compared(Written("r", "loss", 3), history(0, 2))
    assert not verdict.good
    assert (verdict.lost, verdict.found) == (1, 2)
    assert verdict.told == ["run r, metric loss: lost: steps [1]"]


def test_a_step_that_is_there_twice_is_doubled() -> None:
    verdict = compared(Written("r", "loss", 2), history(0, 1, 1))
    assert (verdict.doubled, verdict.found, verdict.good) == (1, 1, False)


def test_another_value_and_a_step_nobody_sent_are_wrong() -> None:
    assert compared(Written("r", "loss", 1), [{"step": 0, "value": 9.0}]).wrong == 1
    assert compared(Written("r", "loss", 1), history(0, 7)).wrong == 1


def test_a_step_without_an_answer_may_be_there_or_not_but_not_twice() -> None:
    unsure = Written("r", "loss", 3, {1})
    assert compared(unsure, history(0, 1, 2)).good
    assert compared(unsure, history(0, 2)).good
    assert compared(unsure, history(0, 1, 1, 2)).doubled == 1


def test_a_history_that_cannot_be_read_is_not_good() -> None:
    assert not compared(Written("r", "loss", 1), None).good


def test_step_zero_is_not_in_the_json_of_mlflow() -> None:
    assert compared(Written("r", "loss", 1), [{"value": 0.0}]).good


def test_a_ledger_says_all_once() -> None:
    ledger = Ledger()
    written = ledger.open("r", "loss")
    written.steps, written.unsure = 4, {2}
    assert read(ledger.take()) == [Written("r", "loss", 4, {2})]
    assert ledger.take() == []
