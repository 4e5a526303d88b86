"""What happens once an answer is sent: counters, the access log, the prediction log, the shadow.

None of it may delay or change an answer, so all of it is bounded and dropped when there is too much of it.
"""

from __future__ import annotations

import asyncio
import sys
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson

from homeport.serving import metrics
from homeport.serving.refusal import Refusal

if TYPE_CHECKING:
    from homeport.serving.config import ServingConfig
    from homeport.serving.dispatch import Dispatch
    from homeport.serving.exchange import Exchange
    from homeport.serving.feedback.log import PredictionLog
    from homeport.serving.follow.catalog import Entry
    from homeport.serving.servable import Request
    from homeport.serving.tracing import Tracing

_OK, _ERROR = 200, 400
_MOST_SHADOWS = 16  # asked at a time in one worker; more are skipped and counted


class After:
    """One worker's bookkeeping.

    Args:
        config: what is logged.
        dispatch: finds the shadow.
        log: keeps predictions; None when it is off.
        tracing: makes spans; None when it is off.
        write: takes a line of the access log.
    """

    def __init__(
        self,
        config: ServingConfig,
        dispatch: Dispatch,
        log: PredictionLog | None,
        tracing: Tracing | None = None,
        write: Callable[[str], object] = sys.stdout.write,
    ) -> None:
        self._config = config
        self._dispatch = dispatch
        self._log = log
        self._tracing = tracing
        self._write = write
        self._meters: dict[tuple[str, str], metrics.Meter] = {}
        self._shadows: set[asyncio.Task[None]] = set()
        self._least = {"off": 1000, "errors": _ERROR, "all": 0}[config.access_log]

    def answered(self, exchange: Exchange) -> None:
        """Take note of one answer."""
        name, version = exchange.model
        self.meter(name, version).count(exchange.route.dialect.value, exchange.status, exchange.seconds)
        if exchange.status >= self._least:
            self._access(exchange)
        if self._tracing is not None:
            self._tracing.answered(exchange)
        if exchange.status != _OK or exchange.entry is None or exchange.request is None or exchange.reply is None:
            return
        if self._log is not None and self._log.wants(exchange.request_id):
            from homeport.serving.feedback.log import Prediction

            body = exchange.reply.body
            self._log.offer(Prediction(exchange.request_id, time.time(), name, version, exchange.request, body))
        if self._config.rules and exchange.route.version is None and exchange.route.alias is None:
            self._ask_shadow(exchange, exchange.entry, exchange.request)

    def meter(self, name: str, version: str) -> metrics.Meter:
        """A model version's counters."""
        try:
            return self._meters[name, version]
        except KeyError:
            return self._meters.setdefault((name, version), metrics.Meter(metrics.Labels(name, version)))

    def unforeseen(self, error: BaseException, path: str, request_id: str) -> None:
        """An error of ours: the trace goes to the log, with the request's id and never with its content."""
        sys.stderr.write(f"unforeseen error for {path} (request {request_id})\n")
        traceback.print_exception(error)

    def _access(self, exchange: Exchange) -> None:
        name, version = exchange.model
        line = {
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "method": exchange.method,
            "path": exchange.path,  # without the query: it may hold what is not ours to keep
            "status": exchange.status,
            "ms": round(exchange.seconds * 1000, 3),
            "model": name,
            "version": version,
            "request_id": exchange.request_id,
            "bytes": len(exchange.reply.body) if exchange.reply else 0,
        }
        self._write(orjson.dumps(line).decode() + "\n")

    def _ask_shadow(self, exchange: Exchange, entry: Entry, request: Request) -> None:
        name = entry.version.name
        shadow = self._dispatch.shadow(name, entry)
        if shadow is None:
            return
        if len(self._shadows) >= _MOST_SHADOWS:
            metrics.SHADOWS.labels(name, "skipped").inc()
            return
        task = asyncio.ensure_future(self._compare(exchange, shadow, request))
        self._shadows.add(task)
        task.add_done_callback(self._shadows.discard)

    async def _compare(self, exchange: Exchange, shadow: Entry, request: Request) -> None:
        assert exchange.reply is not None
        name, version = exchange.model
        lane = self._dispatch.lane(shadow)
        shadow.enter()
        try:
            question = await lane.in_thread(lane.parse, request)
            prediction = await lane.ask(question, self._config.timeout)
            other = lane.encode(request, question, prediction).body
        except Refusal:
            metrics.SHADOWS.labels(name, "failed").inc()
            return
        except Exception as error:  # a shadow's fault is nobody's but its own
            metrics.SHADOWS.labels(name, "failed").inc()
            self.unforeseen(error, exchange.path, exchange.request_id)
            return
        finally:
            shadow.leave()
        own = exchange.reply.body
        metrics.SHADOWS.labels(name, "same" if own == other else "different").inc()
        if self._log is not None:
            from homeport.serving.feedback.log import ShadowDifference

            difference = ShadowDifference(
                request_id=exchange.request_id,
                at=time.time(),
                model=name,
                version=version,
                shadow_version=str(shadow.version.version),
                dialect=request.dialect,
                answer=own,
                shadow=other,
            )
            self._log.offer_shadow(difference)
