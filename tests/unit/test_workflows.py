from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTIONLINT = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in WORKFLOWS:
        for name, job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].items():
            yield f"{path.name}:{name}", job


def test_every_action_is_pinned_to_a_commit_and_says_its_version() -> None:
    used = [line for path in WORKFLOWS for line in path.read_text(encoding="utf-8").splitlines() if "uses:" in line]
    assert len(used) > 10
    for line in used:
        assert re.fullmatch(r"\s*(- )?uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def test_a_workflow_may_nothing_and_each_job_says_what_it_needs() -> None:
    for path in WORKFLOWS:
        assert yaml.safe_load(path.read_text(encoding="utf-8"))["permissions"] == {}, path.name
    allowed = {
        "image.yml:publish": {"contents": "read", "packages": "write", "id-token": "write"},
        "chart.yml:publish": {
            "contents": "read", "packages": "write", "id-token": "write", "attestations": "write",
        },
    }  # fmt: skip
    for name, job in jobs():
        assert job["permissions"] == allowed.get(name, {"contents": "read"}), name


def test_every_job_ends_by_itself_and_keeps_no_credentials() -> None:
    for name, job in jobs():
        assert 0 < job["timeout-minutes"] <= 90, name
        checkouts = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
        assert [step["with"]["persist-credentials"] for step in checkouts] == [False], name


def test_only_the_job_that_publishes_gets_a_secret() -> None:
    for name, job in jobs():
        if name not in {"image.yml:publish", "chart.yml:publish"}:
            assert "secrets." not in yaml.safe_dump(job), name


def test_zizmor_finds_nothing() -> None:
    zizmor = shutil.which("zizmor", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert zizmor, "zizmor is not installed: make install"
    argv: list[str | Path] = [zizmor, "--offline", "--quiet", "--no-progress", "--color=never", *WORKFLOWS]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.system
def test_actionlint_finds_nothing() -> None:
    actionlint = shutil.which("actionlint")
    assert actionlint or shutil.which("go"), f"neither actionlint nor Go is here: go install {ACTIONLINT}"
    argv = [actionlint] if actionlint else ["go", "run", ACTIONLINT]
    done = subprocess.run([*argv, *WORKFLOWS], capture_output=True, text=True, check=False, timeout=280, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
