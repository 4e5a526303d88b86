from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from homeport.serving.lane import Lane
from homeport.serving.refusal import Refusal, model_failed
from homeport.serving.servable import Description, Dialect, Question, Reply, Request


class Slow:
    """A model that answers when the test lets it, and notes what was asked together."""

    def __init__(self, *, coalesces: bool = False) -> None:
        self.coalesces = coalesces
        self.inline = False
        self.description = Description("slow", "1", row_seconds=1.0)
        self.gate = threading.Semaphore(0)
        self.asked: list[list[Any]] = []
        self.began = threading.Semaphore(0)
        self.closed = False

    def parse(self, request: Request) -> Question:
        return Question(request.body, None, 1, matrix=True)

    def predict(self, questions: Sequence[Question]) -> list[Any]:
        self.asked.append([question.data for question in questions])
        self.began.release()
        assert self.gate.acquire(timeout=30)
        if any(question.data == b"bad" for question in questions):
            raise model_failed("the model failed")
        return [question.data for question in questions]

    def encode(self, request: Request, question: Question, prediction: Any) -> Reply:
        return Reply(prediction)

    def close(self) -> None:
        self.closed = True

    def let(self, count: int) -> None:
        for _ in range(count):
            self.gate.release()


def question(data: bytes, params: dict[str, Any] | None = None) -> Question:
    return Question(data, params, 1, matrix=True)


async def began(model: Slow, count: int = 1) -> None:
    for _ in range(count):
        assert await asyncio.to_thread(model.began.acquire, True, 30)


def test_a_full_queue_is_refused_at_once_and_the_others_are_answered() -> None:
    async def scenario() -> None:
        model = Slow()
        lane = Lane(model, concurrency=1, queue=1)
        first = asyncio.ensure_future(lane.ask(question(b"1"), 30))
        await began(model)
        second = asyncio.ensure_future(lane.ask(question(b"2"), 30))
        await asyncio.sleep(0)
        with pytest.raises(Refusal) as refused:
            await lane.ask(question(b"3"), 30)
        assert refused.value.status == 429
        assert refused.value.headers == {"Retry-After": "1", "Connection": "close"}
        model.let(2)
        assert [await first, await second] == [b"1", b"2"]
        assert (lane.running, lane.waiting) == (0, 0)
        lane.close()
        assert model.closed

    asyncio.run(scenario())


def test_a_question_that_waits_too_long_is_never_asked() -> None:
    async def scenario() -> None:
        model = Slow()
        lane = Lane(model, concurrency=1, queue=5)
        first = asyncio.ensure_future(lane.ask(question(b"1"), 30))
        await began(model)
        with pytest.raises(Refusal) as refused:
            await lane.ask(question(b"late"), 0.01)
        assert refused.value.status == 504
        assert lane.waiting == 0
        model.let(1)
        assert await first == b"1"
        assert model.asked == [[b"1"]]
        lane.close()

    asyncio.run(scenario())


def test_a_prediction_given_up_keeps_its_place_until_it_ends() -> None:
    async def scenario() -> None:
        model = Slow()
        lane = Lane(model, concurrency=1, queue=0)
        with pytest.raises(Refusal) as late:
            await lane.ask(question(b"1"), 0.01)
        assert late.value.status == 504
        with pytest.raises(Refusal) as full:
            await lane.ask(question(b"2"), 30)
        assert full.value.status == 429
        model.let(2)
        while lane.running:
            await asyncio.sleep(0.001)
        assert await lane.ask(question(b"3"), 30) == b"3"
        lane.close()

    asyncio.run(scenario())


def test_waiting_questions_go_together_when_the_model_gains_by_it() -> None:
    async def scenario() -> None:
        model = Slow(coalesces=True)
        lane = Lane(model, concurrency=1, queue=10)
        asks = [asyncio.ensure_future(lane.ask(question(b"0"), 30))]
        await began(model)
        asks += [asyncio.ensure_future(lane.ask(question(b"%d" % n), 30)) for n in range(1, 4)]
        asks.append(asyncio.ensure_future(lane.ask(question(b"other", {"p": 1}), 30)))
        await asyncio.sleep(0)
        model.let(3)
        assert await asyncio.gather(*asks) == [b"0", b"1", b"2", b"3", b"other"]
        assert model.asked == [[b"0"], [b"1", b"2", b"3"], [b"other"]]
        lane.close()

    asyncio.run(scenario())


def test_one_bad_question_never_fails_those_that_went_along() -> None:
    async def scenario() -> None:
        model = Slow(coalesces=True)
        lane = Lane(model, concurrency=1, queue=10)
        asks = [asyncio.ensure_future(lane.ask(question(b"0"), 30))]
        await began(model)
        asks += [asyncio.ensure_future(lane.ask(question(data), 30)) for data in (b"good", b"bad")]
        await asyncio.sleep(0)
        model.let(4)
        answers = await asyncio.gather(*asks, return_exceptions=True)
        assert answers[:2] == [b"0", b"good"]
        assert isinstance(answers[2], Refusal)
        assert answers[2].status == 500
        lane.close()

    asyncio.run(scenario())


def test_a_lane_is_itself_a_servable() -> None:
    model = Slow()
    lane = Lane(model, concurrency=1, queue=1)
    request = Request(Dialect.MLFLOW, None, b"body")
    asked = lane.parse(request)
    model.let(1)
    assert lane.encode(request, asked, lane.predict((asked,))[0]).body == b"body"
    assert lane.description.name == "slow"
    assert not lane.inline
    lane.close()
