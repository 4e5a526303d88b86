"""Nothing is lost: by `down`, by a process that is killed, by `docker kill`, while a client outside logs over TLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.project import LONG_RUNNING, Loop, Stack, docker
from tests.e2e.harness import eventually

_ACCOUNT = """
import os, sys
from mlflow.server import get_app_client
client = get_app_client("basic-auth", tracking_uri=os.environ["MLFLOW_TRACKING_URI"])
client.create_user(sys.argv[1], sys.argv[2])
"""
_LOG = """
import mlflow, sys
with mlflow.start_run(run_name="kept") as run:
    mlflow.log_metric("m", 1.5)
    mlflow.log_text("hello", "note.txt")
print(run.info.run_id)
"""
_READ = "import mlflow, sys; print(mlflow.artifacts.load_text(f'runs:/{sys.argv[1]}/note.txt'))"


@pytest.fixture(scope="module")
def stack(images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack of this module, which its tests take down and kill parts of."""
    made = Stack(tmp_path_factory.mktemp("data") / "site")
    try:
        made.write()
        made.bring_up()
        made.trust()
        yield made
    finally:
        made.close()


def _python(stack: Stack, source: str, *arguments: str) -> str:
    return stack.ok("run", "--", "python", "-W", "ignore", "-c", source, *arguments).strip()


def test_down_and_up_keep_runs_artifacts_users_and_models(stack: Stack) -> None:
    run_id = _python(stack, _LOG).splitlines()[-1]
    _python(stack, _ACCOUNT, "guest", "a-long-password-1")
    stack.ok("train", "penguins")
    stack.composed("down")
    assert stack.ids() == []
    stack.bring_up()
    assert stack.api(f"runs/get?run_id={run_id}")["run"]["data"]["metrics"][0]["value"] == 1.5
    assert _python(stack, _READ, run_id) == "hello"
    assert stack.api("registered-models/alias?name=penguins&alias=champion")["model_version"]["version"] == "1"
    login = stack.basic("guest", "a-long-password-1")
    assert (
        stack.call(f"{stack.tracking_uri}/api/2.0/mlflow/experiments/get?experiment_id=0", headers=login).status == 200
    )
    stack.serves("penguins", "1")


@pytest.mark.parametrize("service", LONG_RUNNING)
def test_a_killed_container_comes_back_and_no_acknowledged_metric_is_lost(
    stack: Stack, tmp_path: Path, service: str
) -> None:
    stack.bring_up()
    with Loop(stack, tmp_path) as loop:
        before = stack.inspect(service)["RestartCount"]
        stack.kill_process(service)
        eventually(lambda: _is_back(stack, service, before + 1), 120, f"{service} started again by the engine")
        loop.goes_on()
        # `docker kill` is a stop by the user: the engine leaves it, and the next `up` starts it.
        docker("kill", stack.inspect(service)["Id"])
        assert stack.state(service) == "exited"
        stack.bring_up()
        assert stack.state(service) == "healthy"
        loop.goes_on()
        loop.end()
        loop.assert_nothing_lost()


def _is_back(stack: Stack, service: str, restarts: int) -> bool:
    return stack.state(service) == "healthy" and stack.inspect(service)["RestartCount"] == restarts


def test_all_killed_at_once_come_back_with_every_acknowledged_metric(stack: Stack, tmp_path: Path) -> None:
    stack.bring_up()
    with Loop(stack, tmp_path) as loop:
        docker("kill", *(stack.inspect(service)["Id"] for service in LONG_RUNNING))
        stack.bring_up()
        loop.goes_on()
        loop.end()
        loop.assert_nothing_lost()
