"""Writing logs: times, rotation, long lines, full disks."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.supervisor.logfile import LogFile

STAMP = re.compile(rb"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ")


def written(path: Path) -> list[bytes]:
    """Lines without their times."""
    lines = path.read_bytes().split(b"\n")
    assert lines.pop() == b"", "every line has an end"
    assert all(STAMP.match(line) for line in lines)
    return [STAMP.sub(b"", line) for line in lines]


def test_each_line_has_its_time(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log", clock=lambda: 1_800_000_000.25)
    log.feed(b"one\ntwo\n")
    log.end()
    assert (tmp_path / "a.log").read_bytes() == b"2027-01-15T08:00:00.250Z one\n2027-01-15T08:00:00.250Z two\n"


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_bytes_come_out_as_they_went_in_however_they_were_cut(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("log") / "a.log"
    log = LogFile(path)
    for chunk in chunks:
        log.feed(chunk)
    log.end()
    whole = b"".join(chunks)
    wanted = whole.removesuffix(b"\n").split(b"\n") if whole else []
    assert (written(path) if path.exists() else []) == wanted


def test_a_line_without_an_end_is_bounded(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log")
    for _ in range(20):
        log.feed(b"x" * 10_000)
    assert len(log._rest) < 64 * 1024
    log.end()
    lines = written(tmp_path / "a.log")
    assert b"".join(lines) == b"x" * 200_000
    assert max(map(len, lines)) == 64 * 1024


def test_a_long_line_with_an_end_is_bounded_too(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log")
    log.feed(b"x" * 200_000 + b"\n")
    log.end()
    assert max(map(len, written(tmp_path / "a.log"))) == 64 * 1024


def test_a_log_is_rotated_by_size_and_only_so_many_are_kept(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log", size=200, keep=3)
    for number in range(40):
        log.feed(b"line %d\n" % number)
    log.end()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.log", "a.log.1", "a.log.2"]
    assert all(path.stat().st_size <= 200 for path in tmp_path.iterdir())
    newest = [line for name in ("a.log.2", "a.log.1", "a.log") for line in written(tmp_path / name)]
    assert newest == [b"line %d" % number for number in range(40 - len(newest), 40)]


def test_a_log_goes_on_where_it_was(tmp_path: Path) -> None:
    for text in (b"one\n", b"two\n"):
        log = LogFile(tmp_path / "a.log")
        log.feed(text)
        log.end()
    assert written(tmp_path / "a.log") == [b"one", b"two"]


def test_logs_are_private(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log")
    log.feed(b"x\n")
    log.end()
    assert (tmp_path / "a.log").stat().st_mode & 0o777 == 0o600


def test_a_full_disk_drops_lines_and_counts_them(tmp_path: Path) -> None:
    log = LogFile(Path("/dev/full"))
    for _ in range(5):
        log.feed(b"one\ntwo\n")
    assert log.dropped == 10
    assert list(log.recent)[-1] == "two", "what was said last is known all the same"
    log.path = tmp_path / "a.log"
    log.end()
    log.feed(b"three\n")
    log.end()
    assert written(tmp_path / "a.log") == [b"homeport: 10 lines were dropped here, the disk was full", b"three"]
    assert log.dropped == 0


def test_a_disk_that_fills_up_in_the_middle_of_a_line_leaves_no_half_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = LogFile(tmp_path / "a.log")
    log.feed(b"one\n")
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, block: real(handle, block[:7]))
    log.feed(b"two\n")
    monkeypatch.setattr(os, "write", real)
    log.feed(b"three\n")
    log.end()
    assert written(tmp_path / "a.log")[0] == b"one"
    assert written(tmp_path / "a.log")[-1] == b"three"
    assert len(written(tmp_path / "a.log")) == 3


def test_a_directory_that_is_gone_does_not_raise(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "gone" / "a.log")
    log.feed(b"one\n")
    log.end()
    assert log.dropped == 1
