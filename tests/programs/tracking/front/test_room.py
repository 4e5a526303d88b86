"""The directory of the private sockets: fit for sockets, for one user, gone afterwards, and no other is touched."""

from __future__ import annotations

import stat
import tempfile
from pathlib import Path

import pytest

from homeport.tracking import room


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(room, "_LONGEST", 1000)  # tests' own directories have long names
    return tmp_path


def test_it_is_for_one_user_and_gone_afterwards(base: Path) -> None:
    with room.made() as directory:
        assert Path(directory).parent == base
        assert stat.S_IMODE(Path(directory).stat().st_mode) == 0o700
        Path(directory, "0.sock").touch()
    assert list(base.iterdir()) == []


def test_what_a_killed_server_left_is_swept_and_what_lives_or_is_a_link_is_not(base: Path) -> None:
    left, elsewhere = base / "homeport-mlflow-left", base / "elsewhere"
    for each in (left, elsewhere):
        each.mkdir()
        (each / "0.sock").touch()
    (base / "homeport-mlflow-link").symlink_to(elsewhere)
    with room.made() as living:
        assert not left.exists()
        Path(living, "0.sock").touch()
        with room.made():
            assert Path(living, "0.sock").exists()
    assert (elsewhere / "0.sock").exists()


def test_a_socket_in_it_may_be_bound_wherever_temporary_files_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with room.made() as directory:
        assert len(f"{directory}/99.sock".encode()) < 104
