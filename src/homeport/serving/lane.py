"""A model's lane in one worker: how many of its requests are worked on, how many may wait, and for how long.

Fast predictions run where they are, slower ones in threads of the lane's own, so that one slow model takes nothing
from another. A full queue refuses at once: waiting longer than the caller does helps nobody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from homeport.serving.refusal import Refusal
from homeport.serving.servable import Description, Question, Servable

# Longest prediction that may hold the event loop, in seconds.
_INLINE_SECONDS = 0.002
_MOST_ROWS = 1 << 20
_MOST_TOGETHER = 32


@dataclass(slots=True, eq=False)
class _Waiter:
    question: Question
    future: asyncio.Future[Any]


class Lane:
    """A servable with its limits; itself a servable, so that whoever holds models need not know.

    Args:
        servable: the loaded model.
        concurrency: predictions at a time.
        queue: questions that may wait.
    """

    def __init__(self, servable: Servable, *, concurrency: int, queue: int) -> None:
        self._servable = servable
        self._limit = concurrency
        self._queue = queue
        self._running = 0
        self._waiting: deque[_Waiter] = deque()
        self._threads: ThreadPoolExecutor | None = None
        self.inline_rows = _inline_rows(servable)
        name, version = servable.description.name, servable.description.version
        # Names may hold any character; a header may not.
        self.headers = (
            (b"x-model-name", quote(name, safe="!#$&'()*+,/:;=?@[] ").encode()),
            (b"x-model-version", version.encode()),
        )
        # Bound here: one attribute less to look up for every request.
        self.parse = servable.parse
        self.predict = servable.predict
        self.encode = servable.encode

    @property
    def description(self) -> Description:
        """What is known about the model."""
        return self._servable.description

    @property
    def inline(self) -> bool:
        """Whether one row needs no thread."""
        return self.inline_rows > 0

    @property
    def coalesces(self) -> bool:
        """Whether waiting requests are predicted together."""
        return self._servable.coalesces

    @property
    def running(self) -> int:
        """Predictions under way in threads."""
        return self._running

    @property
    def waiting(self) -> int:
        """Questions in the queue."""
        return len(self._waiting)

    async def ask(self, question: Question, seconds: float) -> Any:  # noqa: ANN401 - any model's answer
        """The prediction, after its turn.

        Raises:
            Refusal: 429 when the queue is full, 504 after `seconds`, or what the model raises.
        """
        loop = asyncio.get_running_loop()
        waiter = _Waiter(question, loop.create_future())
        if self._running < self._limit:
            self._start([waiter], loop)
        elif len(self._waiting) >= self._queue:
            raise _full(self._limit, self._queue)
        else:
            self._waiting.append(waiter)
        try:
            async with asyncio.timeout(seconds):
                return await waiter.future
        except TimeoutError:
            raise _late(seconds) from None
        finally:
            # Timed out or gone: what has not begun will not begin. What runs holds its thread, and so its place.
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    async def in_thread(self, work: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401 - as `work`
        """Run something long of this model's outside of the event loop, in its own threads."""
        return await asyncio.get_running_loop().run_in_executor(self._pool(), work, *arguments)

    def close(self) -> None:
        """Free the model and the threads."""
        if self._threads is not None:
            self._threads.shutdown(wait=False)
        self._servable.close()

    def _pool(self) -> ThreadPoolExecutor:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._limit + 1, thread_name_prefix="predict")
        return self._threads

    def _start(self, waiters: list[_Waiter], loop: asyncio.AbstractEventLoop) -> None:
        self._running += 1
        work = self._pool().submit(self._predict, [waiter.question for waiter in waiters])
        work.add_done_callback(lambda done: loop.call_soon_threadsafe(self._on_done, done, waiters, loop))

    def _predict(self, questions: Sequence[Question]) -> list[Any]:
        if len(questions) == 1:
            return self.predict(questions)
        try:
            return self.predict(questions)
        except Refusal:  # one of them is at fault; the others must not pay for it
            return [self._alone(question) for question in questions]

    def _alone(self, question: Question) -> Any:  # noqa: ANN401 - any model's answer
        try:
            return self.predict((question,))[0]
        except Refusal as refusal:
            return refusal

    def _on_done(self, done: Future[list[Any]], waiters: list[_Waiter], loop: asyncio.AbstractEventLoop) -> None:
        self._running -= 1
        error = done.exception()
        for index, waiter in enumerate(waiters):
            if waiter.future.done():
                continue
            answer = error or done.result()[index]
            if isinstance(answer, BaseException):
                waiter.future.set_exception(answer)
            else:
                waiter.future.set_result(answer)
        if self._waiting:
            self._start(self._next(), loop)

    def _next(self) -> list[_Waiter]:
        """The oldest question, and with a model that gains by it those behind it that can go along."""
        first = self._waiting.popleft()
        batch = [first]
        if self._servable.coalesces and first.question.matrix:
            while self._waiting and len(batch) < _MOST_TOGETHER and _fits(first.question, self._waiting[0].question):
                batch.append(self._waiting.popleft())
        return batch


def _fits(first: Question, other: Question) -> bool:
    return other.matrix and other.params == first.params


def _inline_rows(servable: Servable) -> int:
    """The most rows that one prediction on the event loop may have; 0 when even one takes too long."""
    if not servable.inline:
        return 0
    seconds: Callable[[int], float] = getattr(servable, "seconds", lambda rows: servable.description.row_seconds * rows)
    rows = 1
    while rows < _MOST_ROWS and seconds(rows * 2) <= _INLINE_SECONDS:
        rows *= 2
    return rows


def _full(limit: int, queue: int) -> Refusal:
    return Refusal(
        429,
        "REQUEST_LIMIT_EXCEEDED",
        f"this model is busy: {limit} requests are worked on and {queue} wait in this worker; try again later",
        # The next connection may come to a worker with room; a kept one stays with this one, and refusing is quick, so
        # callers that reuse the connection that answered last would all end up here.
        {"Retry-After": "1", "Connection": "close"},
    )


def _late(seconds: float) -> Refusal:
    return Refusal(504, "DEADLINE_EXCEEDED", f"no prediction within {seconds:g} s (HOMEPORT_SERVING_TIMEOUT)")
