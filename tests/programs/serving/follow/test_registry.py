"""The registry client against a real tracking server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from homeport.serving.follow.errors import NotInRegistry, RegistryAway, RegistryRefused
from homeport.serving.follow.registry import Registry
from tests.programs.serving.follow.shelf import Register
from tests.programs.serving.follow.wire import Wire

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from mlflow import MlflowClient

Saved = Callable[[float], Path]


def test_an_alias_and_a_number_name_the_same_version(
    client: MlflowClient, register: Register, saved: Saved, wire: Wire, name: str
) -> None:
    register(name, saved(2))
    client.set_registered_model_alias(name, "champion", "1")
    registry = Registry(wire.uri, {})
    version = registry.by_alias(name, "champion")
    assert (version.name, version.version, version.status) == (name, "1", "READY")
    assert version.run_id == client.get_model_version(name, "1").run_id
    assert registry.by_version(name, "1") == version
    assert registry.artifacts_of(version).startswith("mlflow-artifacts:/")


@pytest.fixture
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homeport.serving.follow.registry._PAGE", 2)


@pytest.mark.usefixtures("short_pages")
def test_a_list_of_models_has_their_aliases(
    client: MlflowClient, register: Register, saved: Saved, wire: Wire, name: str
) -> None:
    for number in range(3):
        register(f"{name}-{number}", saved(2))
        client.set_registered_model_alias(f"{name}-{number}", f"a{number}", "1")
    found = {model.name: model for model in Registry(wire.uri, {}).search()}
    assert [dict(found[f"{name}-{n}"].aliases) for n in range(3)] == [{f"a{n}": "1"} for n in range(3)]
    assert all(model.created > 0 for model in found.values())
    assert len(wire.requests) > 1  # it went from page to page


@pytest.mark.parametrize("odd", ["a b", "ü&=?#%2F", "x" * 200])
def test_any_name_that_mlflow_allows_is_found(client: MlflowClient, wire: Wire, name: str, odd: str) -> None:
    odd = name + odd
    client.create_registered_model(odd)
    assert odd in {model.name for model in Registry(wire.uri, {}).search()}
    with pytest.raises(NotInRegistry, match="is not in the registry"):
        Registry(wire.uri, {}).by_alias(odd, "champion")


def test_what_is_missing_is_told_from_a_registry_that_is_away(
    client: MlflowClient, register: Register, saved: Saved, wire: Wire, name: str
) -> None:
    registry = Registry(wire.uri, {})
    with pytest.raises(NotInRegistry, match=f"{name}@champion is not in the registry"):
        registry.by_alias(name, "champion")
    register(name, saved(2))
    with pytest.raises(NotInRegistry):
        registry.by_alias(name, "champion")
    with pytest.raises(NotInRegistry, match=f"{name}/7"):
        registry.by_version(name, "7")
    wire.cut()
    with pytest.raises(RegistryAway, match="cannot be reached"):
        registry.by_alias(name, "champion")
    wire.mend()
    assert registry.by_version(name, "1").version == "1"


def test_requests_of_a_thread_share_a_connection(client: MlflowClient, wire: Wire, name: str) -> None:
    registry = Registry(wire.uri, {})
    for _ in range(5):
        with pytest.raises(NotInRegistry):
            registry.by_alias(name, "champion")
    assert len(wire.requests) == 5
    assert len(wire._ends) == 2


def test_nobody_there_is_said_with_the_reason_and_without_the_password(nobody: str) -> None:
    uri = nobody.replace("http://", "http://user:secret@")
    with pytest.raises(RegistryAway, match="Connection refused") as error:
        Registry(uri, {}).by_version("wine", "1")
    assert "secret" not in str(error.value)
    assert nobody in str(error.value)


def test_a_silent_registry_is_away_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homeport.serving.follow.registry._TIMEOUT", (0.5, 0.05))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        registry = Registry(f"http://127.0.0.1:{silent.getsockname()[1]}", {})
        with pytest.raises(RegistryAway, match="did not answer in time"):
            registry.by_version("wine", "1")


def answered_by(server: socket.socket, answer: bytes, seen: list[bytes]) -> threading.Thread:
    def serve() -> None:
        end, _ = server.accept()
        with end:
            seen.append(end.recv(65536))
            end.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": "ö:x"}, b"Basic bWU6w7Y6eA=="),
        ({"MLFLOW_TRACKING_TOKEN": "abc"}, b"Bearer abc"),
        (
            {"MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": "x", "MLFLOW_TRACKING_TOKEN": "abc"},
            b"Basic bWU6eA==",
        ),
    ],
)
def test_credentials_are_those_that_mlflows_client_sends(
    environ: dict[str, str], expected: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")  # never asked for an address of this machine
    seen: list[bytes] = []
    answer = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = answered_by(server, answer, seen)
        with pytest.raises(RegistryAway, match="503 Busy"):
            Registry(f"http://127.0.0.1:{server.getsockname()[1]}", environ).by_version("wine", "1")
        thread.join(30)
    found = [line.split(b": ", 1)[1] for line in seen[0].split(b"\r\n") if line.lower().startswith(b"authorization")]
    assert found == ([] if expected is None else [expected])


@pytest.mark.parametrize(
    ("status", "sentence"), [(401, "wants another user"), (403, "does not let this user see wine")]
)
def test_a_refusal_is_neither_absence_nor_outage(status: int, sentence: str) -> None:
    answer = b"HTTP/1.1 %d No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = answered_by(server, answer, [])
        with pytest.raises(RegistryRefused, match=sentence) as error:
            Registry(f"http://127.0.0.1:{server.getsockname()[1]}", {}).by_version("wine", "1")
        thread.join(30)
    assert error.value.status == status


def test_another_program_at_the_address_is_not_taken_for_a_registry() -> None:
    body = b"<html>Sign in</html>"
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body)
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = answered_by(server, answer, [])
        with pytest.raises(RegistryAway, match="does not answer as a registry"):
            list(Registry(f"http://127.0.0.1:{server.getsockname()[1]}", {}).search())
        thread.join(30)
