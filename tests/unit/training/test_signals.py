from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from homeport.training.signals import HeldBack, Terminated, raise_on_signals

BOTH = pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@BOTH
def test_a_signal_unwinds_the_program(number: signal.Signals, error: type[BaseException]) -> None:
    raise_on_signals()
    with pytest.raises(error):
        signal.raise_signal(number)


@BOTH
def test_a_signal_held_back_is_raised_by_the_next_check(number: signal.Signals, error: type[BaseException]) -> None:
    raise_on_signals()
    with HeldBack() as held:
        signal.raise_signal(number)
        with pytest.raises(error):
            held.check()


@BOTH
def test_a_signal_held_back_is_raised_on_leaving_and_only_once(
    number: signal.Signals, error: type[BaseException]
) -> None:
    raise_on_signals()
    steps = []

    def work() -> None:
        with HeldBack():
            signal.raise_signal(number)
            steps.append("went on")
        steps.append("not reached")

    with pytest.raises(error):
        work()
    assert steps == ["went on"]
    HeldBack().check()


def test_an_ignored_interrupt_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise_on_signals()
    signal.raise_signal(signal.SIGINT)
