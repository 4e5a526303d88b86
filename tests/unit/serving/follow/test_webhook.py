"""Deliveries signed by MLflow's own code: genuine ones nudge, all others are refused."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from homeport.serving.follow.webhook import Nudge, Webhook
from homeport.serving.refusal import Refusal

NOW = 1_790_000_000.0
SECRET = "correct horse battery staple"


def body_of(entity: str = "model_version_alias", action: str = "created", **data: Any) -> bytes:
    data = {"name": "wine-quality", "alias": "champion", "version": "3"} | data
    return json.dumps({"entity": entity, "action": action, "timestamp": "2026-11-21T06:00:00Z", "data": data}).encode()


def headers_of(body: bytes, *, sent: float = NOW, secret: str = SECRET, delivery: str = "") -> dict[str, str]:
    from mlflow.webhooks.delivery import _generate_hmac_signature

    delivery = delivery or str(uuid.uuid4())
    signature = _generate_hmac_signature(secret, delivery, str(int(sent)), body.decode())
    return {
        "x-mlflow-delivery-id": delivery,
        "x-mlflow-timestamp": str(int(sent)),
        "x-mlflow-signature": signature,
    }


@pytest.mark.parametrize(
    ("entity", "action"),
    [
        ("model_version_alias", "created"),
        ("model_version_alias", "deleted"),
        ("model_version", "created"),
        ("model_version_tag", "set"),
        ("model_version_tag", "deleted"),
        ("registered_model", "created"),
    ],
)
def test_a_genuine_delivery_names_the_model_to_look_at(entity: str, action: str) -> None:
    body = body_of(entity, action)
    assert Webhook(SECRET).check(headers_of(body), body, NOW) == Nudge(frozenset({"wine-quality"}))


def test_a_delivery_about_something_else_asks_for_nothing() -> None:
    body = body_of("prompt", "created", name="greeting")
    assert Webhook(SECRET).check(headers_of(body), body, NOW) == Nudge()


def test_a_repeated_delivery_is_accepted_and_asks_for_nothing() -> None:
    body, hook = body_of(), Webhook(SECRET)
    headers = headers_of(body, delivery="one")
    assert hook.check(headers, body, NOW).names
    assert hook.check(headers, body, NOW + 4) == Nudge(repeated=True)
    assert hook.check(headers_of(body, delivery="two"), body, NOW).names


@pytest.mark.parametrize("off", [-301, 301])
def test_a_delivery_outside_the_window_is_refused(off: int) -> None:
    body = body_of()
    with pytest.raises(Refusal) as refusal:
        Webhook(SECRET).check(headers_of(body, sent=NOW + off), body, NOW)
    assert refusal.value.status == 401
    assert Webhook(SECRET).check(headers_of(body, sent=NOW + off), body, NOW + off).names


def test_a_changed_body_is_refused_even_if_it_means_the_same() -> None:
    body = body_of()
    with pytest.raises(Refusal, match="signature") as refusal:
        Webhook(SECRET).check(headers_of(body), body.replace(b": ", b":"), NOW)
    assert refusal.value.status == 401


@pytest.mark.parametrize("header", ["x-mlflow-delivery-id", "x-mlflow-timestamp"])
def test_a_changed_header_is_refused(header: str) -> None:
    body = body_of()
    headers = headers_of(body)
    headers[header] = str(int(NOW) + 1)
    with pytest.raises(Refusal, match="signature"):
        Webhook(SECRET).check(headers, body, NOW)


def test_another_secret_is_refused() -> None:
    body = body_of()
    with pytest.raises(Refusal, match="signature"):
        Webhook(SECRET).check(headers_of(body, secret="guessed"), body, NOW)


@pytest.mark.parametrize("missing", ["x-mlflow-delivery-id", "x-mlflow-timestamp", "x-mlflow-signature"])
def test_a_delivery_without_a_header_is_refused(missing: str) -> None:
    body = body_of()
    headers = headers_of(body)
    del headers[missing]
    with pytest.raises(Refusal, match="needed") as refusal:
        Webhook(SECRET).check(headers, body, NOW)
    assert refusal.value.status == 401


@pytest.mark.parametrize("body", [b"not json", b"[]", b"{}", b'{"entity": "model_version", "data": {}}'])
def test_a_genuine_delivery_that_cannot_be_read_is_the_callers_fault(body: bytes) -> None:
    with pytest.raises(Refusal) as refusal:
        Webhook(SECRET).check(headers_of(body), body, NOW)
    assert refusal.value.status == 400


@pytest.mark.parametrize("signature", ["", "v1", "v1,", "v2,{}", "{}", "v1,ü"])
def test_a_signature_of_another_form_is_refused(signature: str) -> None:
    body = body_of()
    headers = headers_of(body)
    headers["x-mlflow-signature"] = signature.format(headers["x-mlflow-signature"].partition(",")[2])
    with pytest.raises(Refusal, match="signature"):
        Webhook(SECRET).check(headers, body, NOW)


def test_what_is_remembered_of_deliveries_is_bounded() -> None:
    body, hook = body_of(), Webhook(SECRET)
    for number in range(10_050):
        assert not hook._repeated(str(number), NOW)
    assert len(hook._seen) <= 10_000
    assert hook.check(headers_of(body, delivery="10049"), body, NOW).repeated


def test_an_empty_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        Webhook("")
