"""Ctrl-C twice: what is killed may have no time to say how it ended, and the command's exit code is still Ctrl-C's."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import click
import pytest

from homeport.cli.lifecycle import _TwoStep
from homeport.errors import HomeportError

GONE = HomeportError(code="SUPERVISOR_GONE", what="it ended without a word", fix="homeport up")


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """A command that was interrupted ignores signals from then on: right for one that ends, not for later tests."""
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


def interrupted(times: int) -> None:
    target: Any = SimpleNamespace(home="/nowhere")
    with _TwoStep(target, target) as step:
        step._signals, step.exit_code = times, 130
        raise GONE


def test_killed_it_ends_as_interrupted_whatever_was_not_said() -> None:
    with pytest.raises(click.exceptions.Exit) as ended:
        interrupted(2)
    assert ended.value.exit_code == 130


@pytest.mark.parametrize("times", [0, 1])
def test_an_error_of_a_platform_that_was_not_killed_is_told(times: int) -> None:
    with pytest.raises(HomeportError, match="SUPERVISOR_GONE"):
        interrupted(times)
