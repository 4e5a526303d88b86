"""Ports, secrets and volumes of the embedded target."""

from __future__ import annotations

import base64
import json
import os
import socket
import stat
import threading
from pathlib import Path as FilePath

import pytest

from homeport.errors import HomeportError
from homeport.model.graph import Graph
from homeport.model.service import Port, Service, Volume
from homeport.model.values import Bind, Part, Path, Ref, Secret, SecretFile, SecretKind, Template, Value, resolve
from homeport.supervisor import ports
from homeport.supervisor.layout import Home
from homeport.supervisor.local import LocalTarget


def listening(name: str, *wanted: Port) -> Service:
    return Service(name=name, title=name, command=(name,), ports=wanted, volumes=(Volume("data", "/data"),))


def target(home: Home, *services: Service) -> LocalTarget:
    return LocalTarget(Graph("g", services), home)


@pytest.fixture
def plain(home: Home) -> LocalTarget:
    return target(
        home, listening("a", Port("main", 80), Port("admin", 81)), listening("b", Port("main", 80, local=4711))
    )


def test_a_fixed_port_is_what_it_is_and_a_free_one_is_kept(plain: LocalTarget, home: Home) -> None:
    assert plain.address("b") == ("127.0.0.1", 4711)
    first = plain.address("a")
    assert LocalTarget(plain.graph, home).address("a") == first == plain.address("a")
    assert plain.address("a", "admin") != first


def test_a_kept_port_is_answered_while_its_service_listens_and_replaced_when_a_stranger_does(home: Home) -> None:
    graph = [listening("a", Port("main", 80))]
    port = target(home, *graph).address("a")[1]
    with socket.create_server(("127.0.0.1", port)):
        assert target(home, *graph).address("a")[1] == port
        fresh = target(home, *graph)
        fresh.check_ports()
        assert fresh.address("a")[1] != port
        assert target(home, *graph).address("a") == fresh.address("a")


def test_a_kept_port_is_taken_again_when_it_is_free(home: Home) -> None:
    first = target(home, listening("a", Port("main", 80)))
    first.check_ports()
    second = target(home, listening("a", Port("main", 80)))
    second.check_ports()
    assert first.address("a") == second.address("a")


def test_a_torn_ports_file_is_no_reason_to_fail(home: Home) -> None:
    home.ports.write_text('{"a/main": 123')
    target(home, listening("a", Port("main", 80))).check_ports()
    assert json.loads(home.ports.read_text())["a/main"]


def test_every_taken_port_is_named_with_its_holder_and_its_setting(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("0.0.0.0", 0)) as two:
        first, second = one.getsockname()[1], two.getsockname()[1]
        graph = [
            listening("tracking", Port("main", 80, local=first, setting="HOMEPORT_TRACKING_PORT")),
            listening("serving", Port("main", 80, local=second)),
            listening("fine", Port("main", 80)),
        ]
        with pytest.raises(HomeportError) as refusal:
            target(home, *graph).check_ports()
    error = refusal.value
    assert (error.code, error.exit_code) == ("PORT_TAKEN", 1)
    assert error.what == f"ports {first} (tracking), {second} (serving) are taken"
    assert [label for label, _ in error.evidence] == [f"port {first}", f"port {second}"]
    assert all(f"pid {os.getpid()}, user " in text for _, text in error.evidence)
    assert error.fix == f"stop that program, or choose another port: HOMEPORT_TRACKING_PORT={first + 1}"


def test_a_port_held_by_somebody_unseen_is_still_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    def forbidden(kind: str) -> list[object]:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", forbidden)
    with socket.create_server(("127.0.0.1", 0)) as one:
        assert ports.holder(one.getsockname()[1]) == "another user's process"


def test_two_services_that_want_one_port_are_told(home: Home) -> None:
    graph = [
        listening("a", Port("main", 80, local=4711)),
        listening("b", Port("main", 80, local=4711, setting="B_PORT")),
    ]
    with pytest.raises(HomeportError) as refusal:
        target(home, *graph).check_ports()
    assert (refusal.value.code, refusal.value.exit_code) == ("PORT_TWICE", 2)
    assert refusal.value.fix == "change B_PORT"


def test_chosen_ports_stay_clear_of_fixed_ones_and_of_each_other(home: Home) -> None:
    many = [Port(f"p{number}", 80) for number in range(50)]
    chosen = target(home, listening("a", *many))
    chosen.check_ports()
    numbers = [chosen.address("a", port.name)[1] for port in many]
    assert len(set(numbers)) == 50
    assert all(20000 <= number <= 32000 for number in numbers)


def test_a_connection_that_lingers_does_not_make_a_port_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            server.accept()[0].close()  # The server's side closes first and is left in TIME_WAIT.
    assert ports.free(port)


def test_values_become_text(plain: LocalTarget, home: Home) -> None:
    port = plain.address("a")[1]
    values: dict[Value, str] = {
        Ref("a"): f"127.0.0.1:{port}",
        Ref("a", part=Part.PORT): str(port),
        Bind(part=Part.HOST): "127.0.0.1",
        Path("data"): str(home.data / "data"),
        Path("data", "x/y"): str(home.data / "data" / "x/y"),
        Template("http://{at}/", at=Ref("b")): "http://127.0.0.1:4711/",
    }
    for value, text in values.items():
        assert resolve(value, "a", plain) == text
    assert stat.S_IMODE((home.data / "data").stat().st_mode) == 0o700


def test_a_volume_keeps_the_mode_its_service_gave_it(plain: LocalTarget, home: Home) -> None:
    plain.path("a", Path("data"))
    (home.data / "data").chmod(0o750)
    plain.path("a", Path("data"))
    assert stat.S_IMODE((home.data / "data").stat().st_mode) == 0o750


def test_secrets_are_made_once_private_and_of_their_kind(plain: LocalTarget, home: Home) -> None:
    before = os.umask(0)
    try:
        password = plain.secret(Secret("p"))
        key = plain.secret(Secret("k", SecretKind.ACCESS_KEY))
        fernet = plain.secret(Secret("f", SecretKind.FERNET))
    finally:
        os.umask(before)
    assert len(password) >= 32
    assert len(key) == 20
    assert key.isalnum()
    assert key == key.upper()
    assert len(base64.urlsafe_b64decode(fernet)) == 32
    assert plain.secret(Secret("p")) == LocalTarget(plain.graph, home).secret(Secret("p")) == password
    assert {stat.S_IMODE(path.stat().st_mode) for path in home.secrets.iterdir()} == {0o600}
    assert sorted(path.name for path in home.secrets.iterdir()) == ["f", "k", "p"]


def test_a_given_secret_is_used_and_never_kept(plain: LocalTarget, home: Home) -> None:
    made = plain.secret(Secret("p"))
    assert plain.secret(Secret("p", given="mine")) == "mine"
    assert plain.secret(Secret("p")) == made


def test_the_file_of_a_given_secret_stands_apart_from_the_kept_one(plain: LocalTarget, home: Home) -> None:
    kept = FilePath(resolve(SecretFile(Secret("p")), "a", plain))
    given = FilePath(resolve(SecretFile(Secret("p", given="mine")), "a", plain))
    assert kept == home.secrets / "p"
    assert given == home.run / "secrets-given" / "p"
    assert given.read_text() == "mine"
    assert given.stat().st_mode & 0o777 == 0o600
    resolve(SecretFile(Secret("p", given="other")), "a", plain)
    assert given.read_text() == "other"
    assert kept.read_text() == plain.secret(Secret("p"))


def test_a_secret_that_others_could_read_is_closed_to_them(plain: LocalTarget, home: Home) -> None:
    value = plain.secret(Secret("p"))
    (home.secrets / "p").chmod(0o644)
    assert plain.secret(Secret("p")) == value
    assert (home.secrets / "p").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe"])
def test_a_secret_that_cannot_be_read_is_never_made_again(plain: LocalTarget, home: Home, content: bytes) -> None:
    (home.secrets / "p").write_bytes(content)
    with pytest.raises(HomeportError) as refusal:
        plain.secret(Secret("p"))
    assert refusal.value.code == "SECRET_UNREADABLE"
    assert str(home.secrets / "p") in refusal.value.evidence[0][1]
    assert (home.secrets / "p").read_bytes() == content


def test_a_secret_whose_link_leads_nowhere_is_never_made_again(plain: LocalTarget, home: Home) -> None:
    (home.secrets / "p").symlink_to(home.secrets / "gone")
    with pytest.raises(HomeportError, match="SECRET_UNREADABLE"):
        plain.secret(Secret("p"))


def test_secrets_made_before_are_looked_at_before_anything_starts_and_none_is_made(home: Home) -> None:
    env: dict[str, Value] = {"A": Secret("kept"), "B": Template("{x}", x=SecretFile(Secret("new")))}
    target = LocalTarget(Graph("g", [Service(name="a", title="a", command=("a",), env=env)]), home)
    target.check_secrets()
    assert list(home.secrets.iterdir()) == []
    (home.secrets / "kept").touch()
    with pytest.raises(HomeportError, match="SECRET_UNREADABLE"):
        target.check_secrets()
    (home.secrets / "kept").write_text("legible")
    target.check_secrets()


def test_a_newline_that_an_editor_added_is_not_part_of_a_secret(plain: LocalTarget, home: Home) -> None:
    (home.secrets / "p").write_text("hunter2\n")
    assert plain.secret(Secret("p")) == "hunter2"


def test_two_that_make_one_secret_at_once_agree(plain: LocalTarget, home: Home) -> None:
    found: list[str] = []
    start = threading.Barrier(8)

    def make() -> None:
        start.wait()
        found.append(LocalTarget(plain.graph, home).secret(Secret("p")))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert [path.name for path in home.secrets.iterdir()] == ["p"]


def test_a_secret_is_made_where_hard_links_are_not(
    plain: LocalTarget, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: FilePath, other: FilePath) -> None:
        raise OSError(95, "Operation not supported", str(self))

    monkeypatch.setattr(FilePath, "hardlink_to", refuse)
    assert plain.secret(Secret("p")) == plain.secret(Secret("p"))
    assert [path.name for path in home.secrets.iterdir()] == ["p"]


def test_a_full_disk_leaves_no_half_secret(plain: LocalTarget, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(HomeportError, match="DISK_FULL"):
        plain.secret(Secret("p"))
    assert list(home.secrets.iterdir()) == []
