from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from loadtest.counted import count
from loadtest.ledger import Verdict, Written
from loadtest.timeline import Timeline

from loadtest import replicas, report
from tests.e2e.harness import eventually

KUBECTL = """
[ "$*" = "--namespace mlops get deployments --selector app.kubernetes.io/name=homeport --output json" ] || exit 1
cat <<END
{"items": [{"metadata": {"labels": {"app.kubernetes.io/component": "tracking"}}, "status": {"readyReplicas": 3}}]}
END
"""


def timeline(failed: int = 0) -> Timeline:
    made = Timeline()
    for second in range(100, 110):
        for number in range(50):
            error = "status 503 | <busy>" if number < failed else None
            made.add(second, ("writer log-metric", "predictor predict")[number % 2], 1.0 + number, 10, error)
    return made


def reported(directory: Path, made: Timeline, verdict: Verdict | None = None) -> report.Test:
    test = report.Test([("users", "2")], count(made, ramp=1), verdict or Verdict())
    samples = [replicas.Sample(100.0 + at, "tracking", 1 + at // 5) for at in range(10)]
    report.write(test, made, samples, directory)
    return test


def test_a_good_test_passes_and_both_pages_have_the_same_numbers(tmp_path: Path) -> None:
    assert reported(tmp_path, timeline()).good
    text, page = (tmp_path / "report.md").read_text(), (tmp_path / "report.html").read_text()
    for words in ("passed", "500 requests, 0 failed", "writer log-metric", "250"):
        assert words in text
        assert words in page
    assert page.count("<svg") == 3
    assert {file.name for file in tmp_path.glob("*.svg")} == {"throughput.svg", "latency.svg", "replicas.svg"}
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert sum(row["requests"] for row in numbers["rows"][:-1]) == numbers["rows"][-1]["requests"] == 500


def test_one_wrong_answer_fails_the_test_and_is_named(tmp_path: Path) -> None:
    assert not reported(tmp_path, timeline(failed=1)).good
    assert "FAILED" in (tmp_path / "report.md").read_text()
    assert "| writer log-metric | status 503 \\| <busy> | 10 |" in (tmp_path / "report.md").read_text()
    assert "&lt;busy&gt;" in (tmp_path / "report.html").read_text()


def test_a_lost_write_fails_the_test_and_is_named(tmp_path: Path) -> None:
    verdict = Verdict()
    verdict.compare(Written("abc", "loss", 2), [{"step": 1, "value": 0.125}])
    assert not reported(tmp_path, timeline(), verdict).good
    assert "run abc, metric loss: lost: steps [0]" in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize("made", [Timeline(), timeline(failed=50)])
def test_a_test_without_one_right_answer_is_reported_too(tmp_path: Path, made: Timeline) -> None:
    reported(tmp_path, made)
    assert json.loads((tmp_path / "numbers.json").read_text())["rows"][-1]["p50"] is None


def test_ready_replicas_are_read_from_what_kubectl_lists() -> None:
    def deployment(component: str, status: dict[str, int]) -> dict[str, object]:
        return {"metadata": {"labels": {"app.kubernetes.io/component": component}}, "status": status}

    items = [deployment("tracking", {"readyReplicas": 3}), deployment("serving", {}), deployment("other", {})]
    found = replicas.of_deployments({"items": items}, 5.0)
    assert found == [replicas.Sample(5.0, "tracking", 3), replicas.Sample(5.0, "serving", 0)]


@pytest.mark.parametrize(("says", "ready"), [(KUBECTL, 3), ("echo no rights >&2; exit 1", None)])
def test_kubectl_is_asked_while_the_test_runs_and_its_trouble_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], says: str, ready: int | None
) -> None:
    program = tmp_path / "kubectl"
    program.write_text(f"#!/bin/sh\n{says}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    said: list[str] = []

    def seen() -> bool:
        said.append(capfd.readouterr().err)
        return bool(found) if ready else "no rights" in "".join(said)

    with replicas.watched("mlops") as found:
        eventually(seen, 30, "kubectl asked")
    assert [sample.ready for sample in found[:1]] == ([ready] if ready else [])


def test_replicas_seen_elsewhere_are_read_from_a_file_and_a_bad_file_ends_nothing(tmp_path: Path) -> None:
    file = tmp_path / "replicas.csv"
    file.write_text("at,component,ready\n100.5,serving,2\n")
    assert replicas.from_file(file) == [replicas.Sample(100.5, "serving", 2)]
    file.write_text("nothing\n1\n")
    assert replicas.told("a file", lambda: replicas.from_file(file)) == []
