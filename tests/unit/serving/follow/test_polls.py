"""Asking for a look now: who shares one, and who must wait for the next."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

from homeport.serving.follow.polls import PollResult, Polls, answer, names_of


def asked(pool: ThreadPoolExecutor, polls: Polls, *names: str) -> Future[PollResult]:
    before = len(polls._waiting)
    future = pool.submit(polls.ask, frozenset(names) or None, 30)
    while len(polls._waiting) == before:
        threading.Event().wait(0.001)
    return future


def test_those_who_asked_before_a_look_began_share_it_and_later_ones_wait_for_the_next() -> None:
    polls = Polls()
    with ThreadPoolExecutor() as pool:
        early = [asked(pool, polls, "wine"), asked(pool, polls, "penguins")]
        first = polls.wait(time.monotonic())
        assert names_of(first) == frozenset({"wine", "penguins"})
        late = asked(pool, polls)
        answer(first, PollResult(ok=True))
        assert [future.result(30) for future in early] == [PollResult(ok=True)] * 2
        assert not late.done()
        second = polls.wait(time.monotonic() + 30)
        assert names_of(second) is None
        answer(second, PollResult(ok=False))
        assert late.result(30) == PollResult(ok=False)


def test_no_look_in_time_is_said() -> None:
    result = Polls().ask(None, 0.01)
    assert not result.ok
    assert result.failures[0]["error"] == "the look at the registry did not end within 0.01 s; it goes on"


def test_stopping_lets_everybody_go() -> None:
    polls = Polls()
    with ThreadPoolExecutor() as pool:
        waiting = asked(pool, polls)
        polls.stop()
        assert not waiting.result(30).ok
    assert not polls.ask(None, 30).ok
    assert polls.wait(time.monotonic() + 30) == []
