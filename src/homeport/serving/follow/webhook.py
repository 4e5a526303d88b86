"""MLflow's webhooks: is a delivery genuine, is it new, and which models does it speak of.

A delivery is a hint to look at the registry, never the truth: it may be lost, repeated or out of order. What is looked
at then it refuses to know. Format: mlflow 3.17.2, mlflow/webhooks/delivery.py.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homeport.serving.refusal import Refusal, bad_request

_ENTITIES = frozenset({"model_version_alias", "model_version", "model_version_tag", "registered_model"})
_MOST_REMEMBERED = 10_000
_VERSION = "v1"


@dataclass(frozen=True, slots=True)
class Nudge:
    """What a delivery asks for.

    Args:
        names: registered models to look at; empty when there is nothing to do.
        repeated: this delivery came before.
    """

    names: frozenset[str] = frozenset()
    repeated: bool = False


class Webhook:
    """Checks deliveries that are signed with one secret.

    Args:
        secret: the one given to MLflow when the webhook was made.
        window: seconds a delivery's time may differ from ours, either way.
    """

    def __init__(self, secret: str, window: float = 300) -> None:
        if not secret:
            raise ValueError("must not be empty: anybody could sign")
        self._secret = secret.encode()
        self._window = window
        self._seen: dict[str, float] = {}  # delivery id -> when it may be forgotten, oldest first

    def check(self, headers: Mapping[str, str], raw_body: bytes, now: float) -> Nudge:
        """Read a delivery.

        Args:
            headers: names in lower case.
            raw_body: the body as it came, byte for byte.
            now: seconds since the epoch.

        Raises:
            Refusal: 401 when it is not genuine or too old, 400 when it cannot be read.
        """
        delivery, sent = headers.get("x-mlflow-delivery-id", ""), headers.get("x-mlflow-timestamp", "")
        if not delivery or not sent or "x-mlflow-signature" not in headers:
            raise _refused("X-MLflow-Delivery-Id, X-MLflow-Timestamp and X-MLflow-Signature are needed")
        if not self._genuine(headers["x-mlflow-signature"], delivery, sent, raw_body):
            raise _refused("the signature does not fit the body and the secret")
        age = abs(now - _seconds(sent))
        if not age <= self._window:
            raise _refused(f"the delivery is more than {self._window:g} s old, or one of the two clocks is wrong")
        nudge = _read(raw_body)
        return Nudge(repeated=True) if self._repeated(delivery, now) else nudge

    def _genuine(self, signatures: str, delivery: str, sent: str, body: bytes) -> bool:
        signed = b".".join((delivery.encode(), sent.encode(), body))
        expected = base64.b64encode(hmac.new(self._secret, signed, hashlib.sha256).digest())
        # A list separated by spaces, as Standard Webhooks has it for the days when a secret is changed.
        given = [part.partition(",") for part in signatures.split()]
        matches = [version == _VERSION and hmac.compare_digest(value.encode(), expected) for version, _, value in given]
        return any(matches)

    def _repeated(self, delivery: str, now: float) -> bool:
        while self._seen:
            oldest, until = next(iter(self._seen.items()))
            if until >= now and len(self._seen) < _MOST_REMEMBERED:
                break
            del self._seen[oldest]
        if delivery in self._seen:
            return True
        self._seen[delivery] = now + 2 * self._window  # afterwards its time alone refuses it
        return False


def _read(body: bytes) -> Nudge:
    try:
        event: Any = json.loads(body)
    except ValueError as error:
        raise bad_request("the delivery's body is not JSON") from error
    if not isinstance(event, dict) or not isinstance(event.get("data"), dict):
        raise bad_request("the delivery's body has no data")
    if event.get("entity") not in _ENTITIES:
        return Nudge()
    name = event["data"].get("name")
    if not isinstance(name, str) or not name:
        raise bad_request("the delivery names no registered model")
    return Nudge(frozenset({name}))


def _seconds(sent: str) -> float:
    try:
        return float(int(sent))
    except ValueError:
        return math.nan


def _refused(message: str) -> Refusal:
    return Refusal(401, "UNAUTHENTICATED", message)
