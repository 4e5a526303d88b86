"""What Helm's own engine lets through: the chart's schema, asked before any template is filled in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import helm_python
import pytest

from homeport.render.chart.tree import TREE
from homeport.render.chart.value import Group, Keys, Members
from tests.documents import ROOT

CHART = ROOT / "charts" / "homeport"
PRODUCTION: dict[str, Any] = {
    "domain": "ml.example.org",
    "secrets": {"existingSecret": "homeport-secrets"},
    "database": {"url": "postgresql://mlflow@db.example.org:5432/mlflow", "existingSecret": "homeport-database"},
    "artifacts": {"destination": "s3://example/mlflow", "region": "eu-central-1"},
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/mlflow"}},
    "tracking": {
        "autoscaling": {"enabled": True, "minReplicas": 3},
        "podDisruptionBudget": {"maxUnavailable": "25%"},
        "resources": {"requests": {"cpu": 1, "memory": "2Gi"}, "limits": {"memory": None}},
        "extraEnv": [
            {"name": "A", "value": "1"},
            {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        ],
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "nodeSelector": {"pool": "ml"},
    },
    "serving": {
        "traffic": "wine-quality: champion 90, challenger 10",
        "cacheMib": 2_000_000,
        "predictions": {"fraction": 0.25, "keepDays": 30, "existingSecret": "homeport-predictions"},
    },
    "ingress": {"className": "traefik", "tls": {"clusterIssuer": "letsencrypt"}},
    "extraObjects": ["kind: ConfigMap", {"kind": "ConfigMap"}],
}


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[helm_python.Chart]:
    """The chart without a template: its values and their schema alone."""
    place = tmp_path_factory.mktemp("homeport")
    for name in ("Chart.yaml", "values.yaml", "values.schema.json"):
        shutil.copy(CHART / name, place)
    with helm_python.Chart.load(str(place)) as chart:
        yield chart


def said(chart: helm_python.Chart, values: dict[str, Any]) -> str:
    """What the engine says against values; empty: nothing."""
    try:
        chart.render(values, name="homeport", namespace="mlflow")
    except helm_python.HelmValuesError as error:
        return str(error)
    return ""


def nested(path: Keys, value: Any) -> dict[str, Any]:
    for key in reversed(path):
        value = {key: value}
    assert isinstance(value, dict)
    return value


def groups(members: Members = TREE, above: Keys = ()) -> list[Keys]:
    """The paths of all groups, the root's too."""
    found = [above]
    for member in members:
        if isinstance(member, Group):
            found += groups(member.members, (*above, member.name))
    return found


@pytest.mark.parametrize(
    "values",
    [
        {},
        PRODUCTION,
        {"security": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}},
        {"tracking": {"replicas": None}},
        {"database": {"url": "mysql+pymysql://u@h/db", "existingSecret": "s"}},
        {"artifacts": {"destination": "abfss://container@account.dfs.core.windows.net/path"}},
        {"artifacts": {"destination": "s3://b", "endpoint": "http://minio:9000", "existingSecret": "s"}},
        {"tracking": {"fastlane": "off"}, "serving": {"accessLog": "off"}},
        {"global": {"of": "a parent chart"}, "enabled": True},
    ],
    ids=lambda values: ",".join(values) or "defaults",
)
def test_values_of_a_trial_and_of_production_are_let_through(values: dict[str, Any], bare: helm_python.Chart) -> None:
    assert said(bare, values) == ""


def test_the_whole_chart_has_the_schema_too() -> None:
    with helm_python.Chart.load(str(CHART)) as chart:
        assert "additional properties 'misspelt' not allowed" in said(chart, {"misspelt": 1})
        assert said(chart, PRODUCTION) == ""


@pytest.mark.parametrize("path", groups(), ids=lambda path: ".".join(path) or "root")
def test_a_misspelt_key_is_refused_by_its_name_on_every_level(path: Keys, bare: helm_python.Chart) -> None:
    told = said(bare, nested((*path, "misspelt"), "x"))
    assert "additional properties 'misspelt' not allowed" in told
    assert f"at '{'/' if path else ''}{'/'.join(path)}'" in told


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("serving.poll", 0, "minimum: got 0, want 1"),
        ("serving.poll", "3", "got string, want integer"),
        ("serving.timeout", 86401, "maximum: got 86,401, want 86,400"),
        ("serving.workers", 0, "minimum: got 0, want 1"),
        ("serving.predictions.fraction", 1.5, "maximum: got 1.5, want 1"),
        ("serving.accessLog", "some", "value must be one of 'off', 'errors', 'all'"),
        ("tracking.workers", 65, "maximum: got 65, want 64"),
        ("tracking.workers", 1.5, "want integer"),
        ("tracking.fastlane", False, "got boolean, want string"),
        ("tracking.jobs", "yes", "got string, want boolean"),
        ("tracking.podLabels.team", 1, "got number, want string"),
        ("tracking.extraEnv", {"A": "1"}, "got object, want array"),
        ("tracking.extraEnv", [{"name": "A", "value": 1}], "got number, want string"),
        ("tracking.extraEnv", [{"value": "1"}], "missing property 'name'"),
        ("tracking.resources.limits", "2Gi", "got string, want object"),
        ("tracking.service.type", "Public", "value must be one of"),
        ("tracking.service.port", 70000, "maximum"),
        ("tracking.podDisruptionBudget.maxUnavailable", "some", "does not match pattern"),
        ("database.url", "sqlite:///mlflow.db", "does not match pattern"),
        ("database.user", "a@b", "does not match pattern"),
        ("database.persistence.size", "many", "does not match pattern"),
        ("artifacts.destination", "file:///srv", "does not match pattern"),
        ("artifacts.endpoint", "minio:9000", "does not match pattern"),
        ("artifacts.bucket", "my..bucket", "does not match pattern"),
        ("artifacts.bucket", "ab", "minLength: got 2, want 3"),
        ("artifacts.ignoreTls", "true", "got string, want boolean"),
        ("domain", "https://ml.example.org", "does not match pattern"),
        ("domain", "a" * 254, "maxLength"),
        ("image.tag", 1.2, "got number, want string"),
        ("image.digest", "sha256:1", "does not match pattern"),
        ("image.pullSecrets", ["regcred"], "got string, want object"),
        ("gatewayApi.timeouts", {"tracing": "1s"}, "additional properties 'tracing' not allowed"),
        ("training.command", "python train.py", "got string, want array"),
        ("loadtest.duration", "60", "does not match pattern"),
        ("metrics.serviceMonitor.interval", 15, "got number, want string"),
        ("security.runAsUser", 0, "minimum: got 0, want 1"),
        ("extraObjects", {"kind": "ConfigMap"}, "got object, want array"),
    ],
)
def test_a_value_of_another_type_or_range_is_refused_where_it_stands(
    path: str, value: Any, told: str, bare: helm_python.Chart
) -> None:
    answer = said(bare, nested(tuple(path.split(".")), value))
    assert f"at '/{path.replace('.', '/')}" in answer, answer
    assert told in answer
