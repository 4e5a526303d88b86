"""up, down, status, restart: what a user types in the first ten minutes and on every day after."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from homeport.supervisor.identity import alive
from tests.e2e.harness import Homeport, eventually

NewHome = Callable[..., Homeport]
Python = Callable[..., subprocess.CompletedProcess[str]]


def test_a_second_up_says_it_is_running_and_prints_the_same_box(platform: Homeport) -> None:
    first, second = platform.run("up", "--detach"), platform.run("up", "--detach")
    assert first.returncode == second.returncode == 0
    assert "Already running" in second.stderr
    assert first.stdout == second.stdout
    assert platform.tracking_uri in second.stdout


def test_status_says_what_runs_in_the_promised_shape(platform: Homeport) -> None:
    found = platform.status()
    assert found["ready"] is True
    assert [row["name"] for row in found["services"]] == [
        "database", "objectstore", "objectstore-init", "tracking-migrate", "tracking", "serving",
    ]  # fmt: skip
    keys = {"name", "kind", "state", "health", "pid", "url", "restarts", "since", "detail"}
    assert all(keys <= set(row) for row in found["services"])
    assert platform.run("status").returncode == 0


def test_status_and_wait_of_a_platform_that_does_not_run_exit_3(new_home: NewHome) -> None:
    stopped = new_home()
    assert stopped.run("status").returncode == 3
    assert json.loads(stopped.run("status", "--json").stdout)["ready"] is False
    assert stopped.refused("wait", "--timeout", "0", exit_code=3)["code"] == "NOT_READY"
    for command in (("env",), ("run", "--", "true"), ("train", "penguins"), ("restart",), ("open",)):
        assert stopped.refused(*command, exit_code=3)["code"] == "NOT_RUNNING"


def test_wait_answers_for_the_whole_and_for_one_service(platform: Homeport) -> None:
    platform.ok("wait")
    platform.ok("wait", "tracking")
    assert platform.refused("wait", "traking", exit_code=2)["code"] == "SERVICE_UNKNOWN"


def test_logs_show_each_service_and_as_json_one_object_a_line(platform: Homeport) -> None:
    assert "tracking" in platform.ok("logs", "tracking", "--lines", "5")
    rows = [json.loads(line) for line in platform.ok("logs", "--json", "--lines", "20").splitlines()]
    assert {row["service"] for row in rows} >= {"database", "objectstore", "tracking"}
    assert all({"event", "at", "service", "text"} == set(row) for row in rows)
    assert [row["at"] for row in rows] == sorted(row["at"] for row in rows)


def test_graph_timings_show_the_critical_path_of_the_start(platform: Homeport) -> None:
    found = json.loads(platform.ok("graph", "--timings", "--json"))
    assert found["critical_path"][-2:] == ["tracking", "serving"]
    assert "tracking" in platform.ok("graph", "--timings")


def test_doctor_finds_nothing_wrong(platform: Homeport) -> None:
    found = json.loads(platform.ok("doctor", "--json"))
    assert found["ok"] is True
    assert {"python", "mlflow", "postgresql", "rclone", "disk", "ports", "parts"} <= {
        c["name"] for c in found["checks"]
    }


def test_restart_of_one_service_gives_it_another_process_and_leaves_the_rest(platform: Homeport) -> None:
    before = {row["name"]: row["pid"] for row in platform.status()["services"]}
    platform.ok("restart", "objectstore")
    after = {row["name"]: row["pid"] for row in platform.status()["services"]}
    assert after["objectstore"] != before["objectstore"]
    assert (after["database"], after["tracking"]) == (before["database"], before["tracking"])
    eventually(lambda: platform.status()["ready"], what="ready after a restart")


def test_down_and_up_keep_every_run_and_artifact(new_home: NewHome, python: Python, tmp_path: Path) -> None:
    # A path with spaces, so long that no unix socket fits into it: both in one, since each start takes seconds.
    deep = tmp_path / "home of mine" / ("a long directory name " * 5).strip()
    deep.mkdir(parents=True)
    home = new_home(deep / "home")
    home.up()
    logged = python(
        "import mlflow\nwith mlflow.start_run() as r:\n mlflow.log_metric('m', 4)\n mlflow.log_text('kept', 'a.txt')\n"
        "print(r.info.run_id)",
        home.env(),
    )
    run_id, keeper = logged.stdout.split()[-1], home.keeper_pid
    home.ok("down")
    assert home.run("status").returncode == 3
    assert not alive(keeper)  # at once: `down` returns when it has ended
    home.up()
    read = python(
        f"import mlflow\nr = mlflow.get_run('{run_id}')\n"
        "print(r.data.metrics['m'], mlflow.artifacts.load_text(r.info.artifact_uri + '/a.txt'))",
        home.env(),
    )
    assert read.stdout.split() == ["4.0", "kept"], read.stderr
    home.ok("down", "--volumes", "--yes")
    assert not any((home.home / name).exists() for name in ("data", "secrets", "run", "logs"))
    home.ok("down")  # idempotent


@pytest.mark.slow
def test_two_isolated_platforms_run_side_by_side_with_data_of_their_own(tmp_path: Path, new_home: NewHome) -> None:
    one, two = new_home(tmp_path / "one"), new_home(tmp_path / "two")
    for each in (one, two):
        for name in ("HOMEPORT_TRACKING_PORT", "HOMEPORT_SERVING_PORT"):
            del each.environ[name]  # --isolated must be enough, and must be remembered
    starts = [each.spawn("--home", str(each.home), "up", "--detach", "--isolated") for each in (one, two)]
    outputs = [start.communicate(timeout=180)[0] for start in starts]
    assert [start.returncode for start in starts] == [0, 0], outputs
    assert one.tracking_uri != two.tracking_uri
    one.ok("down")
    assert two.status()["ready"]
    one.up()
    assert one.tracking_uri != two.tracking_uri


def test_two_ups_at_once_make_one_platform(new_home: NewHome) -> None:
    home = new_home()
    starts = [home.spawn("up", "--detach") for _ in range(2)]
    outputs = [start.communicate(timeout=180)[0] for start in starts]
    assert [start.returncode for start in starts] == [0, 0], outputs
    assert home.status()["ready"]
    assert sum("Already running" in output for output in outputs) == 1


def test_ctrl_c_once_stops_gracefully_and_says_so(new_home: NewHome) -> None:
    home = new_home()
    foreground = home.spawn("up")
    eventually(lambda: home.status()["ready"], 180, "ready in the foreground")
    keeper = psutil.Process(home.keeper_pid)
    below = keeper.children(recursive=True)
    foreground.send_signal(signal.SIGINT)
    output = foreground.communicate(timeout=60)[0]
    assert foreground.returncode == 130, output
    assert "Stopping" in output
    assert "Stopped" in output
    assert not [p for p in (keeper, *below) if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    # A database that was stopped, not killed, does not need to recover.
    home.up()
    assert "not properly shut down" not in (home.home / "logs" / "database.log").read_text()


@pytest.mark.parametrize("when", ["at once", "later"])
def test_ctrl_c_in_the_middle_of_a_start_stops_it_and_everything_that_it_started(new_home: NewHome, when: str) -> None:
    home = new_home()
    foreground = home.spawn("up", "--detach")
    if when == "at once":  # before the keeper listens
        eventually((home.home / "run").is_dir, 30, "the home")
    else:
        eventually(lambda: home.service("database")["state"] == "healthy", 60, "the database")
    foreground.send_signal(signal.SIGINT)
    output = foreground.communicate(timeout=60)[0]
    assert foreground.returncode == 130, output
    assert "Stopping" in output
    assert "Ready" not in output
    assert home.run("status").returncode == 3
    assert not list((home.home / "run").glob("*.sock"))


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_waiting_for_somebody_elses_start_leaves_it_alone(
    new_home: NewHome, number: signal.Signals, code: int
) -> None:
    home = new_home()
    first = home.spawn("up", "--detach")
    eventually(lambda: home.service("database")["state"] == "healthy", 60, "the database")
    second = home.spawn("up")
    # It listens to the events of the first: it has the control socket open.
    eventually(lambda: [c for c in psutil.Process(second.pid).net_connections("unix") if c.status], 30, "the second")
    second.send_signal(number)
    second.communicate(timeout=60)
    assert second.returncode == code
    assert first.wait(120) == 0
    first.communicate()
    assert home.status()["ready"]


def test_ctrl_c_twice_kills_even_in_the_middle_of_a_start(new_home: NewHome) -> None:
    home = new_home()
    foreground = home.spawn("up")
    eventually(lambda: home.service("database")["state"] == "healthy", 60, "the database")
    keeper = psutil.Process(home.keeper_pid)
    below = keeper.children(recursive=True)
    foreground.send_signal(signal.SIGINT)
    foreground.send_signal(signal.SIGINT)
    said = foreground.communicate(timeout=30)
    assert foreground.returncode == 130, said
    psutil.wait_procs([keeper, *below], timeout=15)
    assert not [p for p in (keeper, *below) if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def test_a_foreground_up_that_is_killed_takes_the_platform_with_it(new_home: NewHome) -> None:
    home = new_home()
    foreground = home.spawn("up")
    eventually(lambda: home.status()["ready"], 180, "ready in the foreground")
    keeper = psutil.Process(home.keeper_pid)
    below = keeper.children(recursive=True)
    foreground.kill()
    foreground.communicate(timeout=30)
    psutil.wait_procs([keeper, *below], timeout=40)
    assert not [p for p in (keeper, *below) if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def test_up_as_json_is_one_event_a_line_ending_in_ready(new_home: NewHome) -> None:
    home = new_home()
    events = [json.loads(line) for line in home.ok("up", "--detach", "--json").splitlines()]
    assert events[-1]["event"] == "ready"
    assert all("event" in event and "at" in event for event in events)
    assert {event["service"] for event in events if event["event"] == "state"} >= {"database", "tracking"}


@pytest.mark.slow
def test_mlflows_job_runner_runs_when_asked_for_and_goes_with_the_platform(new_home: NewHome) -> None:
    home = new_home(MLFLOW_SERVER_ENABLE_JOB_EXECUTION="true")
    home.up()
    keeper = psutil.Process(home.keeper_pid)

    def runners() -> list[psutil.Process]:
        return [p for p in keeper.children(recursive=True) if "huey" in " ".join(p.cmdline())]

    found = eventually(runners, 60, "the job runner")
    home.ok("down")
    assert not [p for p in found if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
