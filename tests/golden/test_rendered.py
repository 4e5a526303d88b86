"""The committed files are what the graph renders: a change of the graph shows in them, or this fails."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from homeport.render.files import every, stale

ROOT = Path(__file__).parents[2]


def homeport(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "homeport", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)


def test_the_committed_files_are_what_is_rendered() -> None:
    assert stale(ROOT) == {}, "homeport render compose"


def test_no_file_of_a_variant_that_is_gone_is_left_behind() -> None:
    found = {path.name for path in ROOT.glob("compose*.yaml")} | {".env.example"}
    assert found == every().keys()


def test_check_says_that_all_is_well() -> None:
    done = homeport("render", "compose", "--check")
    assert (done.returncode, done.stdout) == (0, "every file is as it should be\n")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in every():
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def test_check_fails_naming_the_file_and_the_line_and_writes_nothing(copy: Path) -> None:
    file = copy / "compose.mariadb.yaml"
    changed = file.read_text().replace("mariadb:11", "mariadb:10")
    file.write_text(changed)
    (copy / ".env.example").unlink()
    done = homeport("render", "compose", "--check", "--directory", str(copy))
    assert done.returncode == 1
    assert "stale  compose.mariadb.yaml  +1 -1" in done.stdout
    assert "-    image: mariadb:10" in done.stdout
    assert "stale  .env.example" in done.stdout
    assert "stale  compose.yaml" not in done.stdout
    assert "homeport render compose" in done.stdout
    assert file.read_text() == changed
    assert not (copy / ".env.example").exists()


def test_rendering_again_mends_it(copy: Path) -> None:
    (copy / "compose.yaml").write_text("services: {}\n")
    done = homeport("render", "compose", "--json", "--directory", str(copy))
    assert (done.returncode, json.loads(done.stdout)) == (0, {"stale": ["compose.yaml"], "written": ["compose.yaml"]})
    assert stale(copy) == {}


def test_a_site_is_made_and_then_complete_and_no_secret_is_printed(copy: Path) -> None:
    before = homeport("render", "env", "--check", "--json", cwd=copy)
    assert before.returncode == 1
    assert ".env" in json.loads(before.stdout)["missing"]
    made = homeport("render", "env", cwd=copy)
    assert made.returncode == 0, made.stderr
    assert "docker compose up --wait" in made.stdout
    secrets = [file.read_text() for file in (copy / "secrets").iterdir()]
    assert not [secret for secret in secrets if secret in made.stdout + made.stderr]
    after = homeport("render", "env", "--check", "--json", cwd=copy)
    assert after.returncode == 0
    assert json.loads(after.stdout)["complete"] is True


def test_a_directory_that_is_no_directory_is_refused_by_name(copy: Path) -> None:
    (copy / "secrets").write_text("a file")
    done = homeport("render", "env", cwd=copy)
    assert done.returncode == 1
    assert "SITE_NOT_WRITABLE" in done.stderr
    assert str(copy) in done.stderr
