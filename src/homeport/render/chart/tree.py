"""READ FIRST: the whole of values.yaml on one screen."""

from __future__ import annotations

from homeport.render.chart import cluster, programs, stores
from homeport.render.chart.kubernetes import typed
from homeport.render.chart.value import FLAG, Keys, Members, Value, said, setting, walk

HEAD = (
    "What may be set. Nothing has to be: `helm install homeport charts/homeport` is a trial with a database and an "
    "object store of its own, reached by port-forward. For production three: domain, database.url and "
    "artifacts.destination (docs/how-to/kubernetes.md). The reference with every type: docs/reference/values.md.",
    "Made by `make docs` from src/homeport/render/chart: change it there.",
)

TREE: Members = (
    stores.DOMAIN,
    *stores.NAMES,
    stores.IMAGE,
    stores.AUTH,
    stores.SECRETS,
    stores.DATABASE,
    stores.ARTIFACTS,
    programs.TRACKING,
    programs.SERVING,
    programs.JOBS,
    programs.TRAINING,
    cluster.INGRESS,
    cluster.GATEWAY_API,
    cluster.NETWORK_POLICY,
    cluster.SERVICE_ACCOUNT,
    cluster.SECURITY,
    cluster.METRICS,
    programs.LOADTEST,
    setting("telemetry", "telemetry", "Let MLflow report usage to its makers.", said=True),
    said(
        "extraObjects",
        [],
        typed({"type": "array", "items": {"type": ["object", "string"]}}, "list of manifests"),
        "Further objects, as text or as YAML; templates are filled in.",
    ),
)

# What Helm itself puts among a subchart's values: `global`, and the `enabled` that a parent's condition reads.
OF_HELM = {"global": {"type": "object"}, "enabled": FLAG}


def every() -> dict[Keys, Value]:
    """Every value by its path."""
    return dict(walk(TREE))
