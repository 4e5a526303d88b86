from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from homeport.cli.main import COMMANDS, cli
from homeport.errors import ExitCode
from homeport.settings import knobs
from tests.documents import ROOT, pages


def test_generated_pages_are_what_the_code_says() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.reference", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_setting_command_and_exit_code_is_documented() -> None:
    reference = ROOT / "docs" / "reference"
    settings = (reference / "settings.md").read_text()
    assert not [knob.env for knob in knobs() if f"`{knob.env}`" not in settings]
    assert not [knob.env for knob in knobs() if not knob.help.endswith(".")]
    commands = (reference / "commands.md").read_text()
    assert not [name for group in COMMANDS.values() for name in group if f"## homeport {name}" not in commands]
    codes = (reference / "exit-codes.md").read_text()
    assert not [code for code in ExitCode if f"| {int(code)} | {code.name} |" not in codes]


def test_every_command_has_an_example_in_its_help() -> None:
    context = click.Context(cli)
    for group in COMMANDS.values():
        for name in group:
            command = cli.get_command(context, name)
            assert command is not None
            inner = list(command.commands.values()) if isinstance(command, click.Group) else [command]
            assert all("Example" in (each.epilog or "") for each in inner), name


def test_the_one_line_help_of_a_command_is_the_one_on_the_help_page() -> None:
    context = click.Context(cli)
    for group in COMMANDS.values():
        for name, (_, text) in group.items():
            command = cli.get_command(context, name)
            assert command is not None
            assert (command.help or "").split("\n")[0].startswith(text.rstrip(".")), name


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_homeport_command_on_a_page_exists(page: Path) -> None:
    known = {name for group in COMMANDS.values() for name in group}
    text = page.read_text(encoding="utf-8")
    if page.name == "commands.md":
        return
    used = set(re.findall(r"`homeport ([a-z]+)", text)) | set(re.findall(r"^\$ homeport ([a-z]+)", text, flags=re.M))
    assert used <= known, used - known


def test_the_readme_is_at_most_120_lines() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_the_changelog_names_what_is_being_made() -> None:
    assert "## Unreleased" in (ROOT / "CHANGELOG.md").read_text()


def test_every_direct_dependency_has_its_reason() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    reasons = (ROOT / "docs" / "reference" / "dependencies.md").read_text()
    names = [re.split(r"[\[<>=; ]", line)[0] for line in project["dependencies"]]
    assert not [name for name in names if name not in reasons]


def test_no_lock_file_names_where_packages_come_from() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        assert "://" not in lock.read_text()
        assert "--index-url" not in lock.read_text()


def test_no_error_names_a_command_that_does_not_exist_yet() -> None:
    known = {name for group in COMMANDS.values() for name in group}
    planned = {"backup", "restore", "upgrade", "gc", "render"} - known
    for file in (ROOT / "src").rglob("*.py"):
        used = set(re.findall(r"\bhomeport ([a-z]+)", file.read_text(encoding="utf-8")))
        assert not used & planned, file.name
