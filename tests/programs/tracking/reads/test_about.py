"""server-info is known without MLflow where it can be, and is MLflow's own where not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from homeport.tracking import private_store
from homeport.tracking.fast.reads.about import PATH, About
from homeport.tracking.front.call import Call
from homeport.tracking.front.private import Private, Reply
from tests.programs.tracking.reads.both import Both


class _Starting(Private):
    """A private server that is not there yet, then is."""

    def __init__(self) -> None:
        super().__init__("/nowhere")
        self.there = False
        self.asked = 0

    async def ask(self, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Reply:
        self.asked += 1
        if not self.there:
            raise ConnectionRefusedError
        return Reply(200, b'{"from": "MLflow"}')


def _say(about: About) -> bytes | None:
    answer = asyncio.run(_get(about))
    return answer if answer is None else bytes(answer)


async def _get(about: About) -> bytes | None:
    answer = await about.get(Call("GET", PATH, b"", (), b""))
    return None if answer is None else answer.body


@pytest.mark.parametrize("gateway", [None, "true", "false", "1", "FALSE"])
@pytest.mark.parametrize("destination", ["{room}", "file://{room}", "s3://bucket/path", ""])
def test_it_is_what_mlflow_says(
    both: Both, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, destination: str, gateway: str | None
) -> None:
    from mlflow.server import handlers

    environ = {}
    if destination:
        where = destination.format(room=tmp_path)
        environ = {"_MLFLOW_SERVER_SERVE_ARTIFACTS": "true", "_MLFLOW_SERVER_ARTIFACT_DESTINATION": where}
    if gateway:
        environ["MLFLOW_ENABLE_AI_GATEWAY"] = gateway
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(handlers, "_artifact_repo", None)
    said = _say(About(_Starting(), environ))
    assert said is not None
    assert json.loads(said) == handlers.build_server_info_payload()


def test_a_store_that_clients_cannot_reach_is_offered_to_none(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.server import handlers

    environ = {
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": "s3://bucket",
        private_store.VARIABLE: "false",
    }
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(handlers, "_artifact_repo", None)
    for name in private_store.NAMES:  # put back afterwards what is set aside now
        monkeypatch.setattr(handlers, name, getattr(handlers, name))
    assert private_store.apply(environ)
    said = _say(About(_Starting(), environ))
    assert said is not None
    assert json.loads(said)["multipart_downloads_enabled"] is False
    assert json.loads(said) == handlers.build_server_info_payload()


def test_for_other_stores_mlflow_is_asked_once_it_is_there() -> None:
    environ = {"_MLFLOW_SERVER_SERVE_ARTIFACTS": "true", "_MLFLOW_SERVER_ARTIFACT_DESTINATION": "gs://bucket"}
    private = _Starting()
    about = About(private, environ)
    assert _say(about) is None
    private.there = True
    assert _say(about) == _say(about) == b'{"from": "MLflow"}'
    assert private.asked == 2
