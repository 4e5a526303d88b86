"""Every number that alerts and dashboard ask for is there: a real Prometheus evaluates each of their expressions."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.harness import eventually
from tests.programs.observability.measured import ROOT, Measured, program

pytestmark = pytest.mark.system

_DASHBOARD: dict[str, Any] = json.loads((ROOT / "grafana" / "homeport.json").read_text())
_PANELS: list[dict[str, Any]] = _DASHBOARD["panels"]
_RULES: list[dict[str, Any]] = yaml.safe_load((ROOT / "rules.yml").read_text())["groups"][0]["rules"]
_EXPRESSIONS = sorted({target["expr"] for panel in _PANELS for target in panel.get("targets", ())})
_METRIC = re.compile(r"\b(?:homeport|traefik)_[a-z_]+\b|\bup\b")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    """The whole, asked for a while."""
    made = Measured(tmp_path_factory.mktemp("measured"))
    try:
        made.start()
        eventually(lambda: made.numbers("homeport_serving_requests_total"), 60, "a first answer of Prometheus")
        yield made
    finally:
        made.end()


def _now(expression: str) -> str:
    """An expression as Grafana sends it."""
    return expression.replace("$__rate_interval", "10s").replace("$__interval", "10s").replace("$model", ".*")


@pytest.mark.parametrize("expression", _EXPRESSIONS)
def test_every_panel_shows_something_after_some_traffic(measured: Measured, expression: str) -> None:
    def shown() -> list[float]:
        measured.traffic()
        return measured.numbers(_now(expression))

    eventually(shown, 30, expression)


def test_every_metric_that_an_alert_asks_for_is_there(measured: Measured) -> None:
    names = {name for rule in _RULES for name in _METRIC.findall(rule["expr"])}

    assert len(names) >= 7
    for name in names:
        eventually(lambda name=name: measured.ask(name), 30, name)  # type: ignore[misc] # bound now


def test_prometheus_evaluates_every_alert_and_reaches_every_part(measured: Measured) -> None:
    eventually(lambda: set(measured.alerts().values()) == {"ok"}, 30)

    assert set(measured.alerts()) == {rule["alert"] for rule in _RULES}
    assert {series["metric"]["job"]: series["value"][1] for series in measured.ask("up")} == {
        "serving": "1", "tracking": "1", "gateway": "1", "prometheus": "1",
    }  # fmt: skip


def test_a_version_that_cannot_be_served_raises_its_alert(measured: Measured) -> None:
    eventually(lambda: measured.ask('ALERTS{alertname="ModelNotServed",alertstate="firing",model="broken"}'), 60)


def test_the_certificates_days_are_those_of_the_certificate(measured: Measured) -> None:
    days = measured.numbers("(max by (sans) (traefik_tls_certs_not_after) - time()) / 86400")

    assert [round(day) for day in days] == [396]


def test_promtool_finds_nothing_wrong(tmp_path: Path) -> None:
    config = tmp_path / "prometheus.yml"
    text = (ROOT / "prometheus.yml").read_text()
    key = tmp_path / "key"
    key.write_text("key")
    text = text.replace("/etc/prometheus/rules.yml", str(ROOT / "rules.yml"))
    config.write_text(
        text.replace("/run/secrets/serving-key", str(key)).replace("/run/secrets/serving-password", str(key))
    )

    for check in (
        ["config", "--lint=all", "--lint-fatal", config],
        ["rules", "--lint=all", "--lint-fatal", ROOT / "rules.yml"],
    ):
        done = subprocess.run(
            [program("promtool"), "check", *map(str, check)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_raised_when_it_should_be_and_not_before(tmp_path: Path) -> None:
    cases = yaml.safe_load((Path(__file__).parent / "alerts.yml").read_text())
    cases["rule_files"] = [str(ROOT / "rules.yml")]
    file = tmp_path / "alerts.yml"
    file.write_text(yaml.safe_dump(cases))

    done = subprocess.run([program("promtool"), "test", "rules", file], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    raised = {case["alertname"] for test in cases["tests"] for case in test["alert_rule_test"] if case["exp_alerts"]}
    quiet = {case["alertname"] for test in cases["tests"] for case in test["alert_rule_test"] if not case["exp_alerts"]}
    assert raised == quiet == {rule["alert"] for rule in _RULES}


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    for rule in _RULES:
        assert set(rule["annotations"]) == {"summary", "fix"}
        assert rule["labels"]["severity"] in {"critical", "warning"}


def test_the_dashboard_is_one_that_grafana_reads() -> None:
    """Grafana itself cannot be had here: what its schema asks for is checked instead."""
    ids = [panel["id"] for panel in _PANELS]
    assert len(set(ids)) == len(ids)
    assert _DASHBOARD["schemaVersion"] >= 36
    assert (_DASHBOARD["uid"], _DASHBOARD["title"]) == ("homeport", "Homeport")
    source = yaml.safe_load((ROOT / "grafana" / "datasource.yaml").read_text())["datasources"][0]
    for holder in (*_PANELS, *_DASHBOARD["templating"]["list"], *_DASHBOARD["annotations"]["list"]):
        if holder.get("type") == "row":
            continue
        assert holder["datasource"] == {"type": source["type"], "uid": source["uid"]}
        for target in holder.get("targets", ()):
            assert target["datasource"] == holder["datasource"]
            assert target["expr"]
    for panel in _PANELS:
        assert panel["type"] in {"row", "timeseries", "stat", "table"}
        assert panel["title"]
        assert panel["type"] == "row" or panel["description"]


def test_no_panel_lies_on_another() -> None:
    places = [panel["gridPos"] for panel in _PANELS]

    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)


def test_grafana_finds_the_dashboard_where_the_graph_mounts_it() -> None:
    from homeport.services.observability import grafana, prometheus
    from homeport.settings import load

    settings = load({}, {})
    mounts = {file.source: file.mount for each in (grafana, prometheus) for file in each(settings).container.files}

    assert {str(path.relative_to(ROOT.parent)) for path in ROOT.rglob("*.*") if path.is_file()} == set(mounts)
    folder = yaml.safe_load((ROOT / "grafana" / "dashboards.yaml").read_text())["providers"][0]["options"]["path"]
    assert Path(mounts["observability/grafana/homeport.json"]).parent == Path(folder)
    rules = yaml.safe_load((ROOT / "prometheus.yml").read_text())["rule_files"]
    assert rules == [mounts["observability/rules.yml"]]
