from __future__ import annotations

from pathlib import Path

import pytest

from homeport.platform import ISOLATED, Platform, with_free_ports
from homeport.settings import load


def home_with(tmp_path: Path, *files: str) -> Path:
    for name in ("data/database", "logs", "run", "secrets"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "x").write_text("x")
    for name in files:
        (tmp_path / name).write_text("mine")
    return tmp_path


def test_removing_a_home_leaves_what_is_not_homeports(tmp_path: Path) -> None:
    home = home_with(tmp_path, "notes.txt")
    (home / "homeport.toml").write_text("workers = 1\n")
    Platform(home=home).remove()
    assert sorted(entry.name for entry in home.iterdir()) == ["homeport.toml", "notes.txt"]


def test_removing_an_isolated_home_leaves_nothing(tmp_path: Path) -> None:
    home = home_with(tmp_path / "isolated")
    (home / "homeport.toml").write_text(f"{ISOLATED}tracking_port = 0\n")
    Platform(home=home).remove()
    assert not home.exists()


def test_removing_what_was_never_there_is_no_error(tmp_path: Path) -> None:
    Platform(home=tmp_path / "nowhere").remove()


def test_a_private_platform_reads_no_setting_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("HOMEPORT_TRACKING_PORT=6000\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", "sqlite:////elsewhere.db")
    found = Platform.private(tmp_path / "home", workers=1).settings
    assert (found.tracking_port, found.workers, found.embedded_database) == (0, 1, True)


def test_free_ports_say_where_they_come_from(tmp_path: Path) -> None:
    found = with_free_ports(load({"home": str(tmp_path)}, environ={}, directory=tmp_path))
    assert (found.tracking_port, found.source("tracking_port")) == (0, "--isolated")


def test_a_platform_that_does_not_run_says_so(tmp_path: Path) -> None:
    platform = Platform(home=tmp_path)
    assert not platform.running
    assert platform.status() == {"ready": False, "home": str(tmp_path), "services": []}
