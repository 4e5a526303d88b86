"""A directory's mark: one for all, whole or made again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from homeport import marker


def test_a_directory_keeps_its_mark_and_nothing_else_is_left(tmp_path: Path) -> None:
    mark = marker.place(tmp_path)

    assert marker.place(tmp_path) == marker.read(tmp_path) == mark
    assert [file.name for file in tmp_path.iterdir()] == [marker.NAME]
    assert (tmp_path / marker.NAME).stat().st_mode & 0o777 == 0o644


def test_two_directories_have_two_marks(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()

    assert marker.place(tmp_path) != marker.place(tmp_path / "other")


def test_programs_that_mark_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        marks = set(pool.map(marker.place, [tmp_path] * 64))

    assert marks == {marker.read(tmp_path)}
    assert [file.name for file in tmp_path.iterdir()] == [marker.NAME]


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff" * 32, b"g" * 32])
def test_a_broken_mark_is_made_again(tmp_path: Path, content: bytes) -> None:
    (tmp_path / marker.NAME).write_bytes(content)

    assert marker.read(tmp_path) is None
    assert marker.place(tmp_path) == marker.read(tmp_path)


def test_a_missing_directory_has_none(tmp_path: Path) -> None:
    assert marker.read(tmp_path / "missing") is None
    with pytest.raises(FileNotFoundError):
        marker.place(tmp_path / "missing")
