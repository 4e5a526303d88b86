"""The prediction log of one worker: predictions are taken on the event loop and written by a thread of its own.

`offer` never blocks and never fails: what does not fit into the bounded queue is dropped and counted. While the
database is away the queue fills; when it is back, what is queued is written. Refuses to know who predicted.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from homeport.errors import HomeportError
from homeport.serving.feedback import statements
from homeport.serving.feedback.database import parse_uri
from homeport.serving.servable import Dialect, Request

UNREADABLE, REFUSED, DATABASE = "unreadable", "refused", "database"  # what on_failed is told

_BATCH, _BATCH_BYTES = 500, 2**20  # requests, bytes of their bodies: how much Python does in one go beside the loop
_TURN, _LARGE = 8, 2**14  # requests read without letting go of the interpreter, bytes of one that counts for all
_PAUSE = 0.2  # seconds between two looks at the queue
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0  # seconds between two tries while the database is away
_SWEEP = 3600.0  # seconds between two removals of old rows
_SPREAD = 2**64

_log = logging.getLogger("homeport.serving.feedback")


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answered request.

    Args:
        request_id: the one in X-Request-Id.
        at: when it was answered, seconds since 1970.
        model: registered model.
        version: the version that answered.
        request: what was asked.
        answer: the body of the answer.
    """

    request_id: str
    at: float
    model: str
    version: str
    request: Request
    answer: bytes

    @property
    def size(self) -> int:
        """Bytes it holds, about."""
        return len(self.request.body) + len(self.answer)


@dataclass(frozen=True, slots=True)
class ShadowDifference:
    """Two answers to one request: the one that was sent, and the one of the version in the shadow.

    Args:
        request_id: the one in X-Request-Id.
        at: when it was answered, seconds since 1970.
        model: registered model.
        version: the version that answered.
        shadow_version: the version that was asked, too.
        dialect: the protocol of both answers.
        answer: the body that was sent.
        shadow: the body that was not.
    """

    request_id: str
    at: float
    model: str
    version: str
    shadow_version: str
    dialect: Dialect
    answer: bytes
    shadow: bytes

    @property
    def size(self) -> int:
        """Bytes it holds, about."""
        return len(self.answer) + len(self.shadow)


Entry = Prediction | ShadowDifference


class PredictionLog:
    """Writes predictions to the database; its thread starts at once, so make it after the fork.

    Args:
        uri: the database, which has the tables already.
        sample: share of the requests that are logged, 0 to 1.
        queue_size: requests that wait at most.
        queue_bytes: bytes of bodies that wait at most.
        keep_days: remove older rows once an hour; None: another worker does.
        on_dropped: takes a number of requests that were not logged for want of room.
        on_failed: takes `UNREADABLE` (a body of a kind the log cannot read; not logged), `REFUSED` (the database does
            not take its values; not logged) or `DATABASE` (one try failed; nothing is lost by it).

    Raises:
        HomeportError: PREDICTION_DATABASE_NOT_POSTGRESQL or DATABASE_URI_INVALID.
    """

    def __init__(
        self,
        uri: str,
        *,
        sample: float,
        queue_size: int = 10_000,
        queue_bytes: int = 64 * 2**20,
        keep_days: float | None = None,
        on_dropped: Callable[[int], None],
        on_failed: Callable[[str], None],
    ) -> None:
        import psycopg2.extras  # noqa: F401 - now, not while requests are answered

        self._database = parse_uri(uri)
        self._limit = round(sample * _SPREAD)
        self._most, self._most_bytes = queue_size, queue_bytes
        self._keep_days, self._next_sweep = keep_days, time.monotonic()
        self._on_dropped, self._on_failed = on_dropped, on_failed
        self._queue: deque[Entry] = deque()
        # Two counters of one writer each need no lock: the loop's and the thread's.
        self._offered = self._taken = 0
        self._connection: Any = None
        self._stop = threading.Event()
        self._deadline = float("inf")
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    def wants(self, request_id: str) -> bool:
        """Whether this request is among those to log: always the same answer for the same id."""
        if self._limit >= _SPREAD:
            return True
        digest = hashlib.blake2b(request_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest) < self._limit

    def offer(self, prediction: Prediction) -> bool:
        """Take one prediction; False when there is no room and it is dropped. From one thread only, never blocks."""
        return self._offer(prediction)

    def offer_shadow(self, difference: ShadowDifference) -> bool:
        """Take one pair of answers; False when there is no room and it is dropped. As `offer`."""
        return self._offer(difference)

    @property
    def queued(self) -> int:
        """Requests that wait to be written."""
        return len(self._queue)

    def stop(self, timeout: float) -> None:
        """Write what is queued, for at most `timeout` seconds, and end; what is left then is dropped.

        Blocks for about that long at most, so call it from a thread, or when the event loop has nothing else to do.
        """
        self._deadline = time.monotonic() + timeout
        self._stop.set()
        self._thread.join(timeout + 1.0)

    def _offer(self, entry: Entry) -> bool:
        size = entry.size
        queued = self._offered - self._taken
        if len(self._queue) >= self._most or queued + size > self._most_bytes or self._stop.is_set():
            self._on_dropped(1)
            return False
        self._offered += size
        self._queue.append(entry)
        return True

    def _run(self) -> None:
        while not self._stop.is_set():
            # Behind a full batch there is more; otherwise predictions gather while this waits.
            if not self._write_batch():
                self._stop.wait(_PAUSE)
                self._sweep()
        while self._queue and time.monotonic() < self._deadline:
            self._write_batch()
        left = len(self._queue)
        self._queue.clear()
        if left:
            self._on_dropped(left)
        self._disconnect()

    def _write_batch(self) -> bool:
        """Write the next entries, however long it takes; whether they were as many as fit into a batch."""
        batch: list[Entry] = []
        size = 0
        while self._queue and len(batch) < _BATCH and size < _BATCH_BYTES:
            batch.append(self._queue.popleft())
            size += batch[-1].size
        rows = []
        for number, entry in enumerate(batch):
            if (row := self._rows(entry)) is not None:
                rows.append(row)
            if number % _TURN == 0 or entry.size > _LARGE:
                time.sleep(0)  # let the event loop go first: otherwise Python lets it wait for 5 ms
        if rows and not self._written(rows):
            self._on_dropped(len(rows))
        self._taken += size
        return len(batch) >= _BATCH or size >= _BATCH_BYTES

    def _rows(self, entry: Entry) -> statements.Rows | None:
        try:
            return statements.prediction(entry) if isinstance(entry, Prediction) else statements.shadow(entry)
        except Exception:  # a body can be anything; whatever it is, the others are written
            self._on_failed(UNREADABLE)
            return None

    def _written(self, rows: list[statements.Rows]) -> bool:
        """Write them, again and again until the database is there; False when it was not before the end."""
        pause = _FIRST_PAUSE
        while True:
            try:
                statements.write(self._connected(), rows, lambda: self._on_failed(REFUSED))
            except Exception as error:
                self._disconnect()
                self._on_failed(DATABASE)
                if pause == _FIRST_PAUSE:
                    _log.warning("the prediction log's database does not take predictions: %s", _words(error))
            else:
                if pause > _FIRST_PAUSE:
                    _log.warning("the prediction log's database takes predictions again")
                return True
            if time.monotonic() + pause > self._deadline:
                return False
            # Asked to stop, it tries at shorter intervals until the deadline instead of giving up at once.
            if self._stop.wait(pause):
                time.sleep(_FIRST_PAUSE)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _sweep(self) -> None:
        """Remove one small batch of old rows; writing goes on between two of them."""
        if self._keep_days is None or time.monotonic() < self._next_sweep:
            return
        try:
            more = statements.remove_old(self._connected(), self._keep_days)
        except Exception as error:
            self._disconnect()
            more = False
            _log.warning("old rows of the prediction log could not be removed: %s", _words(error))
        if not more:
            self._next_sweep = time.monotonic() + _SWEEP

    def _connected(self) -> Any:  # noqa: ANN401 - psycopg2 has no types
        if self._connection is None:
            self._connection = self._database.connect()
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(Exception):  # it may be cut already
                self._connection.close()
            self._connection = None


def _words(error: Exception) -> str:
    if isinstance(error, HomeportError):
        return str(error)
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
