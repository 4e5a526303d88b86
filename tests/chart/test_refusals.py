"""Values that do not fit together are refused before anything is sent, with the names of those that mend it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.chart.rendering import CHART, refusal, render

DOMAIN = {"domain": "ml.example.org"}
CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a password of no database": ({"database": {"existingSecret": "db"}}, ["database.url", "database.urlKey"]),
    "a key of no Secret": ({"database": {"urlKey": "uri"}}, ["database.existingSecret"]),
    "a database said twice": (
        {"database": {"url": "postgresql://u@h/d", "existingSecret": "db", "urlKey": "uri"}},
        ["database.url and database.urlKey"],
    ),
    "a password without a user": (
        {"database": {"url": "postgresql://host/name", "existingSecret": "db"}},
        ["names no user", "postgresql://user@host"],
    ),
    "two authorities": (
        {"database": {"ca": {"existingSecret": "a", "existingConfigMap": "b"}}},
        ["database.ca.existingSecret and database.ca.existingConfigMap"],
    ),
    "keys of S3 for Google's store": (
        {"artifacts": {"destination": "gs://b", "existingSecret": "keys"}},
        ["artifacts.google.existingSecret", "gs://b"],
    ),
    "keys of no store": ({"artifacts": {"existingSecret": "keys"}}, ["artifacts.destination=s3://bucket"]),
    "a key file of Google's for S3": (
        {"artifacts": {"destination": "s3://b", "google": {"existingSecret": "sa"}}},
        ["artifacts.google.existingSecret is for"],
    ),
    "a connection of Azure's for the own store": (
        {"artifacts": {"azure": {"existingSecret": "account"}}},
        ["artifacts.azure.existingSecret is for"],
    ),
    "an S3 API for Google's store": (
        {"artifacts": {"destination": "gs://b", "endpoint": "https://s3.example.org"}},
        ["artifacts.endpoint", "gs://b"],
    ),
    "predictions kept nowhere": (
        {"serving": {"predictions": {"fraction": 0.5}}},
        ["serving.predictions.existingSecret", "serving.predictions.urlKey"],
    ),
    "routes of no domain": ({"gatewayApi": {"enabled": True, "parentRefs": [{"name": "public"}]}}, ["Set domain"]),
    "routes of no Gateway": ({**DOMAIN, "gatewayApi": {"enabled": True}}, ["gatewayApi.parentRefs="]),
    "two issuers": (
        {**DOMAIN, "ingress": {"tls": {"clusterIssuer": "a", "issuer": "b"}}},
        ["ingress.tls.clusterIssuer and ingress.tls.issuer"],
    ),
    "an image without a tag": (
        {"training": {"enabled": True, "image": {"repository": "mine"}}},
        ["training.image.tag or training.image.digest"],
    ),
    "fewer at most than at least": (
        {"serving": {"autoscaling": {"enabled": True, "minReplicas": 30}}},
        ["serving.autoscaling.minReplicas is 30", "Raise maxReplicas"],
    ),
    "scaling by nothing": (
        {"tracking": {"autoscaling": {"enabled": True, "targetCPUUtilizationPercentage": None}}},
        ["tracking.autoscaling has nothing to go by"],
    ),
    "a queue in files of one of several": (
        {"tracking": {"jobs": True, "replicas": 2}},
        ["tracking.jobs", "MLFLOW_SERVER_JOB_HUEY_REDIS_URL"],
    ),
    "no time to stop": (
        {"tracking": {"drainSeconds": 30, "terminationGracePeriodSeconds": 30}},
        ["tracking.terminationGracePeriodSeconds", "at least 45"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_with_what_mends_it(case: str) -> None:
    values, words = CASES[case]
    message = refusal(values)
    assert all(word in message for word in words), message
    assert message.count("\n- ") == 1, message


def test_everything_that_is_wrong_is_said_at_once() -> None:
    message = refusal({"database": {"urlKey": "uri"}, "serving": {"predictions": {"fraction": 0.5}}})
    assert message.count("\n- ") == 2, message


def test_every_refusal_of_the_chart_is_among_these() -> None:
    source = (CHART / "templates" / "_checks.tpl").read_text()
    known = re.findall(r'append \$wrong \(?(?:printf )?"([^"]+)"', source)
    assert len(known) == source.count("append $wrong")
    said = "".join(refusal(values) for values, _ in CASES.values())
    for text in known:
        assert max(re.split(r"%[sd]", text), key=len) in said, text


def test_no_message_says_a_password() -> None:
    message = refusal({"database": {"url": "postgresql://me:open-sesame@h/d", "existingSecret": "db", "urlKey": "uri"}})
    assert "open-sesame" not in message


def test_what_is_nearly_refused_is_taken() -> None:
    redis = [{"name": "MLFLOW_SERVER_JOB_HUEY_REDIS_URL", "value": "redis://redis:6379"}]
    assert render({"tracking": {"jobs": True, "replicas": 2, "extraEnv": redis}}).pods
    assert render({"tracking": {"jobs": True}}).pods
    assert render({"tracking": {"drainSeconds": 5, "terminationGracePeriodSeconds": 30}}).pods
