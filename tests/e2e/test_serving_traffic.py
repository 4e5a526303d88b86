"""Serving with traffic rules, a prediction log and webhooks: a platform of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.e2e.harness import Homeport, eventually
from tests.e2e.served import Models, Serving

pytestmark = pytest.mark.slow

ROW = {"columns": ["x"], "data": [[1.0]]}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Homeport]:
    """A platform whose serving is asked to split traffic and to keep predictions."""
    environ = {
        "HOMEPORT_SERVE": "split@champion",
        "HOMEPORT_SERVE_TRAFFIC": "split: champion 70, challenger 30, shadow next",
        "HOMEPORT_PREDICTION_LOG": "1",
        "HOMEPORT_SERVING_WORKERS": "2",
        "HOMEPORT_SERVING_MAX_BODY_MIB": "1",
        "HOMEPORT_SERVING_ACCESS_LOG": "all",
        "HOMEPORT_WEBHOOK_SECRET": "shared",
        "HOMEPORT_SERVING_POLL": "3600",
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        "MLFLOW_WEBHOOK_CACHE_TTL": "1",
    }
    with Homeport(tmp_path_factory.mktemp("split") / "home", environ) as platform:
        platform.up()
        yield platform


@pytest.fixture(scope="module")
def split(own: Homeport, tmp_path_factory: pytest.TempPathFactory) -> Serving:
    models = Models(own.tracking_uri, tmp_path_factory.mktemp("models"))
    for value, alias in ((1.0, "champion"), (2.0, "challenger"), (3.0, "next")):
        models.point("split", alias, models.constant("split", value))
    served = Serving(own)
    served.reload()
    return served


def test_traffic_is_split_by_the_rule_and_a_sticky_caller_stays(split: Serving) -> None:
    versions = [split.predict("split", ROW).version for _ in range(100)]
    assert set(versions) == {"1", "2"}
    assert versions.count("1") > versions.count("2")
    for user in range(5):
        stuck = {split.predict("split", ROW, **{"X-Homeport-Sticky": f"user-{user}"}).version for _ in range(8)}
        assert len(stuck) == 1
    pinned = {split.post("/models/split@champion/invocations", {"dataframe_split": ROW}).version for _ in range(8)}
    assert pinned == {"1"}


def test_a_shadow_is_asked_along_and_its_difference_is_counted(split: Serving) -> None:
    before = len([1 for _ in range(3) if split.predict("split", ROW).status == 200])
    assert before == 3
    eventually(
        lambda: 'homeport_serving_shadows_total{model="split",result="different"}' in split.get("/metrics").body,
        what="a counted difference",
    )


def test_a_body_over_the_limit_is_refused_without_being_read(split: Serving) -> None:
    big = requests.post(f"{split.url}/invocations", data=b"x" * (2 << 20), timeout=30)
    assert big.status_code == 413
    chunked = requests.post(f"{split.url}/invocations", data=(b"x" * 65536 for _ in range(40)), timeout=30)
    assert chunked.status_code == 413


def test_mlflows_own_webhook_makes_the_new_version_serve(split: Serving, own: Homeport, tmp_path: Path) -> None:
    from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent

    models = Models(own.tracking_uri, tmp_path)
    models.client.create_webhook(
        name="homeport", url=f"{split.url}/webhooks/mlflow", secret="shared",
        events=[WebhookEvent(WebhookEntity.MODEL_VERSION_ALIAS, WebhookAction.CREATED)],
    )  # fmt: skip
    versions: list[str] = []

    def followed() -> bool:
        # The list of webhooks is cached in each tracking worker: move until the hook is known.
        versions.append(models.constant("split", 1.0))
        models.point("split", "champion", versions[-1])
        return eventually(
            lambda: split.post("/models/split@champion/invocations", {"dataframe_split": ROW}).version in versions,
            timeout=5,
        )

    eventually(followed, what="a version followed without a poll and without /reload")
    forged = requests.post(f"{split.url}/webhooks/mlflow", data=b"{}", timeout=30)
    assert forged.status_code in {400, 401}


def test_a_prediction_and_its_truth_come_back_as_training_data(split: Serving) -> None:
    answer = split.predict("split", ROW, **{"X-Request-Id": "loop-1"})
    assert answer.status == 200
    assert split.post("/feedback", {"request_id": "loop-1", "truth": 7.5}).status in {200, 202}

    def row() -> dict[str, object] | None:
        found = requests.get(
            f"{split.url}/training-data",
            params={"model": "split", "labelled": "true", "format": "jsonl"},
            timeout=30,
        )
        assert found.status_code == 200, found.text
        rows = [json.loads(line) for line in found.text.splitlines()]
        return next((each for each in rows if each["request_id"] == "loop-1"), None)

    found = eventually(row, what="the labelled row")
    assert found is not None
    assert (found["x"], found["truth"], found["version"]) == (1.0, 7.5, answer.version)


def test_the_access_log_has_a_line_an_answer_and_nothing_of_the_callers_data(split: Serving, own: Homeport) -> None:
    split.post("/models/split@champion/invocations?secret=1", {"dataframe_split": ROW}, **{"X-Request-Id": "line-1"})

    def line() -> dict[str, object] | None:
        for each in (own.home / "logs" / "serving.log").read_text().splitlines():
            if '"line-1"' in each:
                return dict(json.loads(each[each.index("{") :]))
        return None

    found = eventually(line, what="the line")
    assert found is not None
    assert found["status"] == 200
    assert found["path"] == "/models/split@champion/invocations"


def test_serving_holds_no_key_of_the_bucket_and_none_of_mlflows_database(own: Homeport) -> None:
    pid = own.service("serving")["pid"]
    environ = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    assert "HOMEPORT_SERVE=" in environ
    assert "AWS_SECRET_ACCESS_KEY" not in environ
    assert "MLFLOW_BACKEND_STORE_URI" not in environ
    assert "mlflow:" not in environ
