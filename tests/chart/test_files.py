"""What the chart carries of the project is what the project has."""

from __future__ import annotations

import json

import yaml

from homeport.services import images
from tests.chart.rendering import CHART, ROOT, defaults, render

FILES = CHART / "files"


def test_every_file_of_the_chart_is_the_projects_byte_for_byte() -> None:
    copies = [path for path in FILES.rglob("*") if path.is_file()]
    originals = {path.name: path for path in (ROOT / "observability").rglob("*") if path.is_file()}
    assert copies
    for copy in copies:
        assert copy.read_bytes() == originals[copy.name].read_bytes(), f"cp {originals[copy.name]} {copy}"


def test_the_dashboard_reaches_the_cluster_as_it_is_but_for_its_source() -> None:
    rendered = render({"metrics": {"dashboard": {"enabled": True, "datasource": "mimir"}}})
    (text,) = (text for each in rendered.all("ConfigMap") for text in each.content["data"].values() if "panels" in text)
    ours = (ROOT / "observability" / "grafana" / "homeport.json").read_text()
    # Compose's data source has a name of its own.
    assert '"uid": "homeport-prometheus"' in ours
    assert json.loads(text) == json.loads(ours.replace('"uid": "homeport-prometheus"', '"uid": "mimir"'))


def test_the_alerts_of_the_chart_are_the_projects() -> None:
    rendered = render({"metrics": {"prometheusRule": {"enabled": True}}}).one("PrometheusRule")
    ours = yaml.safe_load((ROOT / "observability" / "rules.yml").read_text())
    alerts = {rule["alert"] for group in ours["groups"] for rule in group["rules"] if "alert" in rule}
    found = {
        rule["alert"] for group in rendered.content["spec"]["groups"] for rule in group["rules"] if "alert" in rule
    }
    assert found <= alerts
    # There is no gateway of ours in a cluster: what is asked of one is left out.
    assert {alert for alert in alerts - found if "Gateway" not in alert and "Certificate" not in alert} == set()


def test_the_images_of_others_are_those_that_everything_else_runs() -> None:
    named = {part: "{repository}:{tag}".format(**defaults()[part]["image"]) for part in ("database", "artifacts")}
    assert named == {"database": images.POSTGRES, "artifacts": images.SEAWEEDFS}
    user, group = map(int, images.USER.split(":"))
    assert defaults()["security"] == {"runAsUser": user, "runAsGroup": group, "fsGroup": group}
