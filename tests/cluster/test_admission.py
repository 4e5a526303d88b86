from __future__ import annotations

from pathlib import Path
from typing import Any

import helm_python as helm
import pytest
import yaml

from tests.cluster.node import Node
from tests.cluster.release import CHART, Release

VALUES = sorted((CHART / "ci").glob("*-values.yaml"))
# Kinds of operators that this cluster does not run: no API server knows them without their definitions.
ELSEWHERE = (
    "monitoring.coreos.com/",
    "gateway.networking.k8s.io/",
    "cert-manager.io/",
    "keda.sh/",
    "postgresql.cnpg.io/",
)


def rendered(values: dict[str, Any], namespace: str) -> list[dict[str, Any]]:
    with helm.Chart.load(CHART) as chart:
        texts = chart.render(values, name="homeport", namespace=namespace)
    found = [each for name, text in texts.items() if name.endswith(".yaml") for each in yaml.safe_load_all(text)]
    return [each for each in found if each and not str(each["apiVersion"]).startswith(ELSEWHERE)]


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_the_api_server_takes_every_object_without_a_warning(node: Node, release: Release, values: Path) -> None:
    objects = rendered(yaml.safe_load(values.read_text()) or {}, release.namespace)
    assert objects
    node.apply(objects, "--dry-run=server", "--validate=strict", "--warnings-as-errors")
