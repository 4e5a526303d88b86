"""The alerts of a release, as promtool reads them: of this release alone, with commands of its cluster."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import render

pytestmark = pytest.mark.system
OURS = {"namespace": "ml", "service": "hp-homeport-serving"}
KUBECTL = "kubectl -n ml logs deploy/hp-homeport-serving"
REQUESTS = {"model": "m", "version": "1"}


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """The groups of a release's PrometheusRule, as a file of Prometheus'."""
    rule = render({"metrics": {"prometheusRule": {"enabled": True}}}, name="hp", namespace="ml").one("PrometheusRule")
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump(rule.content["spec"]))
    return file


def promtool(*arguments: object) -> str:
    """What promtool says; it must find nothing wrong."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("no promtool on this machine: apt-get install prometheus")
    done = subprocess.run([found, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def series(metric: str, values: str, **labels: str) -> dict[str, str]:
    """One series of a test of rules."""
    inside = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return {"series": f"{metric}{{{inside}}}", "values": values}


def decided(rules: Path, given: list[dict[str, str]], alert: str, *raised: dict[str, Any]) -> str:
    """Whether exactly these alerts are raised after a quarter of an hour."""
    expected = {"eval_time": "15m", "alertname": alert, "exp_alerts": list(raised)}
    case = {"interval": "1m", "input_series": given, "alert_rule_test": [expected]}
    file = rules.with_name("tests.yml")
    file.write_text(yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [case]}))
    return promtool("test", "rules", file)


def test_promtool_finds_nothing_wrong(rules: Path) -> None:
    assert "SUCCESS" in promtool("check", "rules", "--lint=all", "--lint-fatal", rules)


def test_a_part_that_does_not_answer_is_told_with_the_command_that_shows_why(rules: Path) -> None:
    fix = f"kubectl -n ml get pods; {KUBECTL}"
    alert = {
        "exp_labels": {"severity": "critical", "job": "serving", "instance": "a", **OURS},
        "exp_annotations": {"summary": "serving does not answer", "fix": fix},
    }
    decided(rules, [series("up", "1x5 0x20", job="serving", instance="a", **OURS)], "PartDown", alert)


def test_predictions_that_fail_are_told(rules: Path) -> None:
    counted = [
        series("homeport_serving_requests_total", "0+80x60", status="200", **REQUESTS, **OURS),
        series("homeport_serving_requests_total", "0+20x60", status="500", **REQUESTS, **OURS),
    ]
    alert = {
        "exp_labels": {"severity": "critical", **REQUESTS},
        "exp_annotations": {
            "summary": "20% of the predictions of m version 1 fail",
            "fix": f"{KUBECTL}; move the alias back to the version before",
        },
    }
    decided(rules, counted, "PredictionsFail", alert)


@pytest.mark.parametrize("other", [{**OURS, "namespace": "else"}, {**OURS, "service": "other-serving"}])
def test_what_happens_in_another_release_is_told_by_that_one(rules: Path, other: dict[str, str]) -> None:
    decided(rules, [series("up", "1x5 0x20", job="serving", instance="a", **other)], "PartDown")
    decided(rules, [series("homeport_serving_registry_up", "0x30", **other)], "RegistryAway")
