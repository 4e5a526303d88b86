"""`homeport up --target compose` and its kin: one command brings it up, says where, and cleans up what it could not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.compose.project import LONG_RUNNING, Stack, docker
from tests.e2e.harness import eventually


@pytest.fixture
def stack(new_stack: Callable[..., Stack]) -> Stack:
    """An empty directory."""
    made = new_stack()
    made.home.mkdir()
    return made


@pytest.fixture(scope="module")
def up(images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, str, str]]:
    """A platform that one command made in an empty directory, and what that command said."""
    made = Stack(tmp_path_factory.mktemp("command") / "site")
    made.home.mkdir()
    try:
        done = made.run("up")
        assert done.returncode == 0, done.stderr
        yield made, done.stdout, done.stderr
    finally:
        made.close()


def test_an_empty_directory_becomes_a_platform_with_one_line_a_service_and_a_box(up: tuple[Stack, str, str]) -> None:
    stack, out, err = up
    lines = [line.split() for line in err.splitlines()]
    assert {words[1] for words in lines if len(words) > 2 and words[2] == "healthy"} == set(LONG_RUNNING)
    assert "Wrote compose.yaml" in err
    assert "Ready in " in err
    box = dict(line.strip().split(maxsplit=1) for line in out.splitlines() if not line.startswith("   "))
    assert box["UI"] == stack.tracking_uri
    assert box["Serving"].startswith(stack.serving_url)
    assert "admin-password" in out
    assert stack.secret("admin-password") not in out + err
    assert box["Stop"].startswith("homeport down") or " down" in box["Stop"]


def test_a_second_up_says_already_running_and_prints_the_same_box(up: tuple[Stack, str, str]) -> None:
    stack, out, _ = up
    before = stack.ids()
    again = stack.run("up")
    assert again.returncode == 0
    assert "Already running" in again.stderr
    assert "healthy" not in again.stderr
    assert again.stdout == out
    assert stack.ids() == before


def test_the_directory_remembers_its_target(up: tuple[Stack, str, str]) -> None:
    stack, _, _ = up
    assert "HOMEPORT_TARGET=compose" in (stack.home / ".env").read_text()
    assert json.loads(stack.run("status", "--json", HOMEPORT_TARGET="").stdout)["ready"] is True


def test_status_has_the_contract_of_plain_processes(up: tuple[Stack, str, str]) -> None:
    stack, _, _ = up
    found = stack.status()
    assert found["ready"] is True
    keys = {"name", "kind", "owner", "state", "health", "pid", "url", "restarts", "since", "detail"}
    assert {frozenset(row) for row in found["services"]} == {frozenset(keys)}
    rows = {row["name"]: row for row in found["services"]}
    assert rows["tracking"]["url"] == stack.tracking_uri
    assert rows["tracking"]["health"] == "healthy"
    assert rows["tracking-migrate"]["state"] == "completed"


def test_env_is_all_that_clients_need_and_their_other_certificates_stay_trusted(up: tuple[Stack, str, str]) -> None:
    stack, _, _ = up
    env = json.loads(stack.ok("env", "--json"))
    assert env["MLFLOW_TRACKING_URI"] == stack.tracking_uri
    assert env["MLFLOW_TRACKING_PASSWORD"] == stack.secret("admin-password")
    bundle = Path(env["REQUESTS_CA_BUNDLE"]).read_text()
    assert Path(env["MLFLOW_TRACKING_SERVER_CERT_PATH"]).read_text().strip() in bundle
    assert bundle.count("BEGIN CERTIFICATE") > 50
    source = (
        "import os, mlflow, requests, urllib.request\n"
        "url, key = os.environ['HOMEPORT_SERVING_URL'], os.environ['HOMEPORT_SERVING_KEY']\n"
        "headers = {'authorization': f'Bearer {key}'}\n"
        "print(mlflow.MlflowClient().get_experiment('0').name)\n"
        "print(requests.get(url + '/v2', headers=headers, timeout=30).status_code)\n"
        "print(urllib.request.urlopen(urllib.request.Request(url + '/v2', headers=headers), timeout=30).status)\n"
    )
    assert stack.ok("run", "--", "python", "-W", "ignore", "-c", source).split() == ["Default", "200", "200"]


def test_env_admin_says_that_the_stores_are_out_of_reach(up: tuple[Stack, str, str]) -> None:
    stack, _, _ = up
    assert stack.refused("env", "--admin", exit_code=2)["code"] == "ADMIN_NOT_REACHABLE"


def test_train_run_and_examples_work_as_with_plain_processes(up: tuple[Stack, str, str]) -> None:
    stack, _, _ = up
    assert "champion" in stack.ok("train", "penguins")
    stack.serves("penguins", "1")
    example = Path(__file__).parents[2] / "examples" / "predict.py"
    assert "Adelie" in stack.ok("run", "--", "python", "-W", "ignore", str(example), "penguins")


def test_logs_are_merged_and_followed(up: tuple[Stack, str, str]) -> None:
    stack, _, _ = up
    lines = [json.loads(line) for line in stack.ok("logs", "--json", "-n", "3").splitlines()]
    assert {line["service"] for line in lines} >= {"database", "tracking", "gateway-init"}
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)
    assert stack.refused("logs", "nobody", exit_code=2)["code"] == "LOG_UNKNOWN"
    follower = stack.spawn("logs", "-f", "-n", "0", "gateway")
    try:
        assert follower.stdout is not None
        os.set_blocking(follower.stdout.fileno(), False)

        def followed() -> bool:
            stack.call(f"{stack.tracking_uri}/health?followed=1")
            return "followed=1" in (follower.stdout.read() or "" if follower.stdout else "")

        eventually(followed, 30, "the request in the gateway's log")
    finally:
        follower.terminate()
        follower.communicate(timeout=30)


def test_doctor_finds_nothing_to_mend(up: tuple[Stack, str, str]) -> None:
    stack, _, _ = up
    found = json.loads(stack.ok("doctor", "--json"))
    assert found["ok"] is True
    assert {row["name"] for row in found["checks"]} >= {"docker", "compose", "secrets", "ports", "names", "platform"}


def test_restart_of_a_service_waits_until_it_is_healthy(up: tuple[Stack, str, str]) -> None:
    stack, _, _ = up
    before, database = stack.inspect("serving")["State"]["StartedAt"], stack.inspect("database")["State"]["StartedAt"]
    stack.ok("restart", "serving")
    assert stack.state("serving") == "healthy"
    assert stack.inspect("serving")["State"]["StartedAt"] > before
    assert stack.inspect("database")["State"]["StartedAt"] == database
    stack.ok("wait", "--timeout", "60")
    assert stack.refused("restart", "nobody", exit_code=2)["code"] == "SERVICE_UNKNOWN"


def test_down_keeps_the_data_and_with_volumes_nothing_but_the_files_is_left(stack: Stack) -> None:
    events = [json.loads(line) for line in stack.ok("up", "--json").splitlines()]
    assert events[0]["event"] == "written"
    assert [event["event"] for event in events if event["event"] != "state"][-2:] == ["started", "ready"]
    stack.ok("down")
    assert stack.ids() == []
    assert stack.run("status").returncode == 3
    volumes = ("volume", "ls", "--quiet", "--filter", f"label=com.docker.compose.project={stack.project}")
    assert docker(*volumes).split()
    stack.ok("down", "--volumes", "--yes")
    assert docker(*volumes).split() == []
    assert (stack.home / ".env").is_file()
    assert json.loads(stack.ok("down", "--json"))["stopped"] is False


def test_a_failing_service_is_named_with_its_own_words_and_what_was_started_is_stopped(stack: Stack) -> None:
    stack.write()
    stack.bring_up("tracking-migrate", "database")
    stack.composed("down")
    file = stack.home / "secrets" / "database-password"
    file.chmod(0o644)
    file.write_text("another-one")
    found = stack.refused("up", exit_code=1)
    assert "password authentication failed" in found["text"]
    assert "everything this command started was stopped" in found["text"]
    assert not [each for each in stack.ids() if _runs(each)]
    assert "password authentication failed" in stack.ok("logs", "tracking-migrate")


def test_a_service_that_ends_again_and_again_is_not_waited_for(stack: Stack) -> None:
    stack.write()
    broken = {"command": ["sh", "-c", "echo the disk is made of cheese; exit 3"]}
    stack.override(json.dumps({"services": {"serving": broken}}))
    found = stack.refused("up", exit_code=1)
    assert found["code"] == "SERVING_EXITED"
    assert "the disk is made of cheese" in found["text"]
    assert "exit 3" in found["text"]
    assert not [each for each in stack.ids() if _runs(each)]


def test_what_ran_before_a_failed_up_goes_on(stack: Stack) -> None:
    stack.write()
    stack.bring_up("database", "objectstore")
    before = {name: stack.inspect(name)["Id"] for name in ("database", "objectstore")}
    broken = {"command": ["sh", "-c", "exit 3"]}
    stack.override(json.dumps({"services": {"tracking": broken}}))
    assert stack.refused("up", exit_code=1)["code"] == "TRACKING_EXITED"
    assert {name: stack.inspect(name)["Id"] for name in before} == before
    assert {name: stack.state(name) for name in before} == dict.fromkeys(before, "healthy")
    assert stack.state("tracking") == "exited"


def test_ctrl_c_during_the_start_stops_what_was_started(stack: Stack) -> None:
    process = stack.spawn("up")
    eventually(lambda: [each for each in stack.ids() if _runs(each)], 60, "the first container")
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "Stopping" in said
    assert not [each for each in stack.ids() if _runs(each)]


def test_a_taken_port_is_refused_before_anything_starts(stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", stack.https)):
        found = stack.refused("up", exit_code=1)
    assert found["code"] == "PORT_TAKEN"
    assert str(stack.https) in found["text"]
    assert "HOMEPORT_HTTPS_PORT" in found["text"]
    assert stack.ids() == []


def test_a_missing_image_is_refused_with_how_to_build_it(stack: Stack) -> None:
    found = stack.refused("up", exit_code=1, HOMEPORT_IMAGE="homeport-nowhere:0")
    assert found["code"] == "IMAGE_MISSING"
    assert "docker build" in found["text"]
    assert stack.ids() == []


def test_a_directory_with_other_files_is_not_written_into_unless_it_is_named(stack: Stack) -> None:
    (stack.home / "mine.txt").write_text("mine")
    found = stack.refused("up", exit_code=2)
    assert found["code"] == "COMPOSE_DIRECTORY"
    assert sorted(path.name for path in stack.home.iterdir()) == ["mine.txt"]


def test_without_a_docker_client_or_an_engine_or_compose_the_fix_is_said(stack: Stack, tmp_path: Path) -> None:
    nowhere = tmp_path / "bin"
    nowhere.mkdir()
    assert stack.refused("up", exit_code=1, PATH=str(nowhere))["code"] == "DOCKER_MISSING"
    found = stack.refused("up", exit_code=1, DOCKER_HOST="unix:///nowhere/docker.sock")
    assert found["code"] == "DOCKER_NOT_RUNNING"
    program = shutil.which("docker")
    assert program
    (nowhere / "docker").symlink_to(program)
    found = stack.refused("up", exit_code=1, PATH=str(nowhere), DOCKER_CONFIG=str(tmp_path / "none"))
    assert found["code"] == "COMPOSE_MISSING"
    assert list(stack.home.iterdir()) == []


def _runs(container: str) -> bool:
    return docker("container", "inspect", "--format", "{{.State.Running}}", container).strip() == "true"
