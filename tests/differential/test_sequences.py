"""Sequences of calls, right and wrong: each answer is stock MLflow's, and after each sequence every row of every table.

HOMEPORT_DIFFERENTIAL_SECONDS=3600 looks for new ones that long, with seeds it prints; without it the same come always.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.differential.both import Both
from tests.differential.budget import EXAMPLES, SECONDS
from tests.differential.sequences import sequences
from tests.differential.wire import Request

pytestmark = [pytest.mark.slow, pytest.mark.timeout(SECONDS + 900)]


def same(both: Both, calls: list[Request]) -> None:
    both.begin()
    said = []
    for call in calls:
        said.append(str(call))
        if difference := both.difference(call):
            raise AssertionError("after\n  " + "\n  ".join(said[:-1]) + "\n" + difference)
    if rows := both.rows_differ():
        raise AssertionError("after\n  " + "\n  ".join(said) + "\n" + rows)


def looking(both: Both, examples: int, *, fixed: bool) -> Callable[[], None]:
    """A search for a sequence that differs."""

    @settings(
        max_examples=examples, derandomize=fixed, database=None, deadline=None, print_blob=False,
        suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink),
    )  # fmt: skip
    @given(sequences)
    def look(calls: list[Request]) -> None:
        same(both, calls)

    return look


def test_every_sequence_of_calls_gets_what_stock_gives_and_leaves_the_same_rows(both: Both) -> None:
    looking(both, EXAMPLES, fixed=True)()


def test_an_hour_of_new_sequences_finds_no_difference(both: Both) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        number = random.SystemRandom().randrange(2**32)
        sys.stderr.write(f"seed {number}\n")
        seed(number)(looking(both, 200 if SECONDS else 20, fixed=False))()
        if time.monotonic() >= deadline:
            return
