"""Which values the chart is rendered with: the sites of charts/homeport/ci, and every value changed at least once.

A change stands with what has to be set besides, so that it matters at all. Which values do nothing to the objects is
written down with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import helm_python
import yaml

from tests.chart.rendering import CHART, Objects, Values, defaults, merged, nested, render

SITES = sorted((CHART / "ci").glob("*-values.yaml"))
DIGEST = "sha256:" + "5" * 64
SECRET_URL = "postgresql://mlflow:spoken-only-to-the-database@db.example.org:5432/mlflow"
TOLERATION = [{"key": "dedicated", "operator": "Equal", "value": "mlflow", "effect": "NoSchedule"}]
AFFINITY = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
    {"weight": 1, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname", "labelSelector": {}}}]}}  # fmt: skip
RESOURCES = {"requests": {"cpu": "250m", "memory": "1Gi"}, "limits": {"memory": "3Gi"}}
SPREAD = [{"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {}}]
PEER = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}]
OUTSIDE = [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]
OBJECT = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-mine"}, "data": {"a": "b"}}

# Values whose content is the site's own, so that what is below them is no value of the chart's.
WHOLE = ("resources", "labels")


@dataclass(frozen=True)
class Change:
    """A value that is not the default, and what it needs so that it does something."""

    value: Any
    given: Values = field(default_factory=dict)


DOMAIN = {"domain": "ml.example.org"}
POSTGRES = {"database": {"url": "postgresql://mlflow@db.example.org:5432/mlflow", "existingSecret": "db"}}
S3 = {"artifacts": {"destination": "s3://bucket/path"}}
S3_KEYS = {"artifacts": {"destination": "s3://bucket", "existingSecret": "keys"}}
ENDPOINT = {"artifacts": {"endpoint": "https://s3.example.org", "existingSecret": "keys"}}
GOOGLE = {"artifacts": {"destination": "gs://bucket"}}
AZURE = {"artifacts": {"destination": "wasbs://box@account.blob.core.windows.net"}}
PREDICTIONS = {"serving": {"predictions": {"fraction": 0.5, "existingSecret": "predictions"}}}
TRAINING = {"training": {"enabled": True}}
LOADTEST = {"loadtest": {"enabled": True}}
GATEWAY = {**DOMAIN, "gatewayApi": {"enabled": True, "parentRefs": [{"name": "public"}]}, "ingress": {"enabled": False}}
MONITOR = {"metrics": {"serviceMonitor": {"enabled": True}}}
RULES = {"metrics": {"prometheusRule": {"enabled": True}}}
DASHBOARD = {"metrics": {"dashboard": {"enabled": True}}}


def _image(prefix: str, given: Values) -> dict[str, Change]:
    tagged = merged(given, nested(f"{prefix}.image", {"repository": "example/image", "tag": "1"}))
    return {
        f"{prefix}.image.repository": Change("registry.example.org:5000/mirror/image", tagged),
        f"{prefix}.image.tag": Change("9.9", tagged),
        f"{prefix}.image.digest": Change(DIGEST, tagged),
        f"{prefix}.image.pullPolicy": Change("Always", tagged),
    }


def _placed(prefix: str, given: Values) -> dict[str, Change]:
    return {
        f"{prefix}.resources": Change(RESOURCES, given),
        f"{prefix}.nodeSelector": Change({"disk": "ssd"}, given),
        f"{prefix}.tolerations": Change(TOLERATION, given),
        f"{prefix}.affinity": Change(AFFINITY, given),
    }


def _extended(prefix: str, given: Values) -> dict[str, Change]:
    volume = {"extraVolumes": [{"name": "mine", "emptyDir": {}}]}
    return {
        f"{prefix}.extraEnv": Change([{"name": "MINE", "value": "1"}], given),
        f"{prefix}.extraEnvFrom": Change([{"configMapRef": {"name": "mine"}}], given),
        f"{prefix}.extraVolumes": Change(volume["extraVolumes"], given),
        f"{prefix}.extraVolumeMounts": Change(
            [{"name": "mine", "mountPath": "/mine"}], merged(given, nested(prefix, volume))
        ),
    }


def _persisted(prefix: str) -> dict[str, Change]:
    return {
        f"{prefix}.persistence.size": Change("50Gi"),
        f"{prefix}.persistence.storageClass": Change("fast"),
        f"{prefix}.persistence.existingClaim": Change("mine"),
    }


def _server(prefix: str) -> dict[str, Change]:
    scaled = nested(f"{prefix}.autoscaling.enabled", True)
    several = nested(f"{prefix}.replicas", 3)
    memory = {
        "type": "Resource",
        "resource": {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 80}},
    }
    return {
        **_placed(prefix, {}),
        **_extended(prefix, {}),
        f"{prefix}.replicas": Change(3),
        f"{prefix}.workers": Change(3),
        f"{prefix}.autoscaling.enabled": Change(True),
        f"{prefix}.autoscaling.minReplicas": Change(3, scaled),
        f"{prefix}.autoscaling.maxReplicas": Change(30, scaled),
        f"{prefix}.autoscaling.targetCPUUtilizationPercentage": Change(50, scaled),
        f"{prefix}.autoscaling.metrics": Change([memory], scaled),
        f"{prefix}.podDisruptionBudget.enabled": Change(False, several),
        f"{prefix}.podDisruptionBudget.maxUnavailable": Change(2, several),
        f"{prefix}.service.type": Change("LoadBalancer"),
        f"{prefix}.service.port": Change(80),
        f"{prefix}.service.annotations": Change({"example.org/note": "1"}),
        f"{prefix}.drainSeconds": Change(9),
        f"{prefix}.terminationGracePeriodSeconds": Change(90),
        f"{prefix}.podLabels": Change({"team": "ml"}),
        f"{prefix}.podAnnotations": Change({"example.org/note": "1"}),
        f"{prefix}.topologySpreadConstraints": Change(SPREAD),
        f"{prefix}.priorityClassName": Change("high"),
    }


CHANGES: dict[str, Change] = {
    "domain": Change("ml.example.org"),
    "nameOverride": Change("other"),
    "fullnameOverride": Change("other"),
    "commonLabels": Change({"team": "ml"}),
    "commonAnnotations": Change({"example.org/note": "1"}),
    "image.repository": Change("registry.example.org/homeport"),
    "image.tag": Change("9.9"),
    "image.digest": Change(DIGEST),
    "image.pullPolicy": Change("Always"),
    "image.pullSecrets": Change([{"name": "regcred"}]),
    "auth.enabled": Change(False),
    "auth.adminUsername": Change("root"),
    "secrets.existingSecret": Change("mine"),
    "database.url": Change(SECRET_URL),
    "database.existingSecret": Change("db", {"database": {"url": "postgresql://mlflow@db.example.org:5432/mlflow"}}),
    "database.passwordKey": Change("pw", POSTGRES),
    "database.urlKey": Change("dsn", {"database": {"existingSecret": "db", "urlKey": "uri"}}),
    "database.ca.existingSecret": Change("ca", POSTGRES),
    "database.ca.existingConfigMap": Change("ca", POSTGRES),
    "database.ca.key": Change("root.pem", merged(POSTGRES, {"database": {"ca": {"existingConfigMap": "ca"}}})),
    "database.maxConnections": Change(500),
    "database.user": Change("me"),
    "database.name": Change("runs"),
    **_image("database", {}),
    **_persisted("database"),
    **_placed("database", {}),
    "artifacts.destination": Change("s3://bucket/path"),
    "artifacts.endpoint": Change("https://s3.example.org"),
    "artifacts.publicEndpoint": Change("https://s3.example.org", ENDPOINT),
    "artifacts.region": Change("eu-central-1"),
    "artifacts.ignoreTls": Change(True, ENDPOINT),
    "artifacts.existingSecret": Change("keys", S3),
    "artifacts.accessKeyKey": Change("id", S3_KEYS),
    "artifacts.secretKeyKey": Change("key", S3_KEYS),
    "artifacts.google.existingSecret": Change("google", GOOGLE),
    "artifacts.google.key": Change("sa.json", merged(GOOGLE, {"artifacts": {"google": {"existingSecret": "google"}}})),
    "artifacts.azure.existingSecret": Change("azure", AZURE),
    "artifacts.azure.key": Change("conn", merged(AZURE, {"artifacts": {"azure": {"existingSecret": "azure"}}})),
    "artifacts.bucket": Change("runs"),
    **_image("artifacts", {}),
    **_persisted("artifacts"),
    **_placed("artifacts", {}),
    **_server("tracking"),
    "tracking.threads": Change(48),
    "tracking.fastlane": Change("off"),
    "tracking.slowSeconds": Change(2.5),
    "tracking.jobs": Change(True),
    "tracking.aiGateway": Change(True),
    "tracking.allowedHosts": Change(["ml.internal"]),
    **_server("serving"),
    "serving.enabled": Change(False),
    "serving.models": Change("wine-quality@champion"),
    "serving.traffic": Change("wine-quality: champion 90, challenger 10"),
    "serving.poll": Change(10),
    "serving.timeout": Change(30),
    "serving.concurrency": Change(4),
    "serving.queue": Change(100_000),
    "serving.maxBodyMib": Change(1_000_000),
    "serving.cacheMib": Change(1_000_000_000),
    "serving.strict": Change(True),
    "serving.accessLog": Change("all"),
    "serving.envs": Change("/envs"),
    "serving.predictions.fraction": Change(0.25, {"serving": {"predictions": {"existingSecret": "predictions"}}}),
    "serving.predictions.keepDays": Change(36_500, PREDICTIONS),
    "serving.predictions.existingSecret": Change("other", PREDICTIONS),
    "serving.predictions.urlKey": Change("url", PREDICTIONS),
    "serving.cache.size": Change("40Gi"),
    **_placed("jobs", {}),
    "jobs.activeDeadlineSeconds": Change(7_200_000),
    "jobs.waitSeconds": Change(1_200_000),
    **_placed("training", TRAINING),
    **_extended("training", TRAINING),
    **_image("training", TRAINING),
    "training.enabled": Change(True),
    "training.schedule": Change("30 2 * * *", TRAINING),
    "training.timeZone": Change("Europe/Berlin", TRAINING),
    "training.suspend": Change(True, TRAINING),
    "training.command": Change(["python", "-m", "homeport.training", "wine-quality"], TRAINING),
    "training.activeDeadlineSeconds": Change(3600, TRAINING),
    "ingress.enabled": Change(False, DOMAIN),
    "ingress.className": Change("nginx", DOMAIN),
    "ingress.annotations": Change({"example.org/note": "1"}, DOMAIN),
    "ingress.tls.enabled": Change(False, DOMAIN),
    "ingress.tls.secretName": Change("wildcard", DOMAIN),
    "ingress.tls.clusterIssuer": Change("letsencrypt", DOMAIN),
    "ingress.tls.issuer": Change("letsencrypt", DOMAIN),
    "gatewayApi.enabled": Change(True, merged(GATEWAY, {"gatewayApi": {"enabled": False}})),
    "gatewayApi.parentRefs": Change([{"name": "mine", "namespace": "gateways", "sectionName": "https"}], GATEWAY),
    "gatewayApi.timeouts.tracking": Change("30s", GATEWAY),
    "gatewayApi.timeouts.serving": Change("", GATEWAY),
    "gatewayApi.annotations": Change({"example.org/note": "1"}, GATEWAY),
    "networkPolicy.enabled": Change(False),
    "networkPolicy.clients": Change(PEER),
    "networkPolicy.metrics": Change(PEER, {"networkPolicy": {"clients": [{"podSelector": {}}]}}),
    "networkPolicy.egress": Change(OUTSIDE),
    "networkPolicy.training": Change(OUTSIDE, TRAINING),
    "serviceAccount.create": Change(False),
    "serviceAccount.name": Change("mine"),
    "serviceAccount.annotations": Change({"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/mlflow"}),
    "security.runAsUser": Change(1_000_680_000),
    "security.runAsGroup": Change(1_000_680_000),
    "security.fsGroup": Change(1_000_680_000),
    "metrics.serviceMonitor.enabled": Change(True),
    "metrics.serviceMonitor.interval": Change("30s", MONITOR),
    "metrics.serviceMonitor.labels": Change({"release": "prometheus"}, MONITOR),
    "metrics.prometheusRule.enabled": Change(True),
    "metrics.prometheusRule.labels": Change({"release": "prometheus"}, RULES),
    "metrics.dashboard.enabled": Change(True),
    "metrics.dashboard.datasource": Change("mimir", DASHBOARD),
    "metrics.dashboard.labels": Change({"dashboards": "yes"}, DASHBOARD),
    "metrics.dashboard.annotations": Change({"k8s-sidecar-target-directory": "/mlflow"}, DASHBOARD),
    **_image("loadtest", LOADTEST),
    **_placed("loadtest", LOADTEST),
    "loadtest.enabled": Change(True),
    "loadtest.users": Change(1_000_000, LOADTEST),
    "loadtest.spawnRate": Change(50, LOADTEST),
    "loadtest.duration": Change("1h", LOADTEST),
    "loadtest.workers": Change(4, LOADTEST),
    "loadtest.shares": Change("writer=1", LOADTEST),
    "loadtest.pause": Change(2.5, LOADTEST),
    "loadtest.model": Change("penguins", LOADTEST),
    "loadtest.prometheus": Change("http://prometheus.monitoring:9090", LOADTEST),
    "telemetry": Change(True),
    "extraObjects": Change([OBJECT]),
}

# Values that change no object, each with the reason.
WITHOUT_EFFECT: dict[str, str] = {}


def leaves(values: Values, prefix: str = "") -> Iterator[str]:
    """The path of every value that can be set: mappings are opened but for those that are the site's own."""
    for name, value in values.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping) and value and name not in WHOLE:
            yield from leaves(value, f"{path}.")
        else:
            yield path


def known() -> list[str]:
    """The values that the chart has now, of those that are changed here."""
    there = set(leaves(defaults()))
    return [path for path in CHANGES if path in there]


def changed(path: str) -> dict[str, Any]:
    """The values of one change."""
    change = CHANGES[path]
    return merged(change.given, nested(path, change.value))


def sites() -> dict[str, dict[str, Any]]:
    """The values of the sites, by name."""
    return {path.name.removesuffix("-values.yaml"): yaml.safe_load(path.read_text()) or {} for path in SITES}


@cache
def every() -> dict[str, Objects]:
    """Every render of the matrix by what it is of."""
    wanted: dict[str, dict[str, Any]] = {"defaults": {}} | {f"site {name}": values for name, values in sites().items()}
    for path in known():
        wanted |= {f"before {path}": dict(CHANGES[path].given), path: changed(path)}
    found = {}
    for name, values in wanted.items():
        # What cannot be rendered fails by its name in test_values, and not everywhere.
        with suppress(helm_python.HelmError):
            found[name] = render(values)
    return found
