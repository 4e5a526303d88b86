"""The directories of a home: private, and refused with a reason."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from homeport.errors import HomeportError
from homeport.supervisor.layout import Home


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_every_directory_is_private_whatever_the_umask(tmp_path: Path) -> None:
    for umask in (0o000, 0o022, 0o077):
        before = os.umask(umask)
        try:
            home = Home(tmp_path / f"home-{umask}" / "below")
            home.create()
        finally:
            os.umask(before)
        for directory in (home.root, home.data, home.logs, home.run, home.secrets, home.reasons, home.given):
            assert mode(directory) == 0o700, directory


def test_a_directory_that_was_opened_to_others_is_closed_again(home: Home) -> None:
    home.secrets.chmod(0o755)
    home.create()
    assert mode(home.secrets) == 0o700


def test_making_a_home_twice_changes_nothing(home: Home) -> None:
    (home.data / "x").mkdir()
    home.create()
    assert (home.data / "x").is_dir()


def test_a_relative_home_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Home(Path("x")).root == tmp_path / "x"
    assert Home(Path("~/x")).root == Path.home() / "x"


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(HomeportError) as refusal:
        Home(tmp_path / "home").create()
    assert refusal.value.code == "HOME_NOT_A_DIRECTORY"
    assert str(tmp_path / "home") in refusal.value.what


def test_a_file_in_the_way_of_one_of_its_directories_is_named(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("")
    with pytest.raises(HomeportError) as refusal:
        Home(tmp_path).create()
    assert refusal.value.code == "HOME_NOT_A_DIRECTORY"
    assert str(tmp_path / "logs") in refusal.value.evidence[0][1]


def test_a_file_among_the_parents_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeportError) as refusal:
        Home(tmp_path / "file" / "home").create()
    assert refusal.value.code == "HOME_NOT_A_DIRECTORY"


@pytest.mark.parametrize(
    ("number", "code"), [(28, "DISK_FULL"), (122, "DISK_FULL"), (30, "HOME_NOT_WRITABLE"), (13, "HOME_NOT_WRITABLE")]
)
def test_what_the_disk_refuses_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str) -> None:
    def refuse(self: Path, _: bytes) -> int:
        raise OSError(number, os.strerror(number), str(self))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(HomeportError) as refusal:
        Home(tmp_path / "home").create()
    assert refusal.value.code == code
    assert refusal.value.evidence[0][1].startswith(os.strerror(number))
    assert refusal.value.fix


def test_the_socket_is_in_the_home_while_its_path_is_short(tmp_path: Path) -> None:
    assert Home(Path("/h")).socket == Path("/h/run/control.sock")
    long = Home(tmp_path / ("x" * 100))
    assert long.socket.parent == Path(f"/tmp/homeport-{os.getuid()}")
    assert len(os.fsencode(long.socket)) <= 100


def test_a_path_counts_in_bytes_not_in_letters() -> None:
    assert Home(Path("/" + "ü" * 45)).socket.parent != Home(Path("/" + "u" * 45)).socket.parent


def test_two_long_homes_have_two_sockets(tmp_path: Path) -> None:
    assert Home(tmp_path / ("x" * 100)).socket != Home(tmp_path / ("y" * 100)).socket


def test_a_socket_directory_that_others_could_write_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir(mode=0o777)
    theirs.chmod(0o777)
    monkeypatch.setattr(Home, "socket", property(lambda _: theirs / "x.sock"))
    with pytest.raises(HomeportError) as refusal:
        Home(tmp_path / "home").check_socket_directory()
    assert refusal.value.code == "SOCKET_DIRECTORY_NOT_PRIVATE"
    assert "mode 0777" in refusal.value.why


def test_a_socket_directory_that_is_a_link_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.setattr(Home, "socket", property(lambda _: tmp_path / "link" / "x.sock"))
    with pytest.raises(HomeportError, match="SOCKET_DIRECTORY_NOT_PRIVATE"):
        Home(tmp_path / "home").check_socket_directory()
