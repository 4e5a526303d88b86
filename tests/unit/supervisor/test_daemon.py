"""A daemon of its own, with real processes: start, failure, stop, two of them, an owner that dies."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from homeport.errors import HomeportError
from homeport.supervisor import detach, identity, logs, timings
from homeport.supervisor.client import Client
from homeport.supervisor.layout import Home
from tests.unit.supervisor import graphs
from tests.unit.supervisor.conftest import Eventually, mentioning

ROOT = Path(__file__).parents[3]


@contextlib.contextmanager
def keeping(home: Home, name: str, *, owned: bool = False) -> Iterator[Client]:
    """A daemon that keeps a graph; killed at the end if it is still there."""
    started = detach.start(home, graphs.argv(home, name), owned=owned)
    try:
        yield Client(home)
    finally:
        started.release()
        if started.process.poll() is None:
            started.process.kill()
        started.process.wait()


def ready(client: Client) -> list[dict[str, object]]:
    events = list(client.events("ready"))
    assert events[-1]["event"] == "ready", events[-1]
    return events


def test_a_platform_comes_up_answers_and_goes_down_without_a_trace(home: Home) -> None:
    with keeping(home, "platform") as client:
        events = ready(client)
        assert client.running()
        status = client.status()
        assert status
        assert status["ready"] is True
        assert {row["name"]: row["state"] for row in status["services"]} == {
            "database": "healthy",
            "objectstore": "healthy",
            "migrate": "completed",
            "bucket": "completed",
            "tracking": "healthy",
            "escaped": "healthy",
        }
        pids = mentioning(home.root)
        assert [event["event"] for event in client.stop()][-1] == "stopped"
        assert not client.running()
        assert client.status() is None
    order = [f"{event['service']} {event['state']}" for event in events if event["event"] == "state"]
    assert order.index("tracking starting") > max(order.index("migrate completed"), order.index("bucket completed"))
    assert order.index("database starting") < order.index("objectstore healthy")
    assert not [pid for pid in pids if identity.alive(pid)]
    assert not home.state.exists()
    assert not home.socket.exists()
    assert home.lock.read_text() == ""


def test_the_timings_of_a_start_are_kept(home: Home) -> None:
    with keeping(home, "platform") as client:
        ready(client)
        list(client.stop())
    found = timings.read(home)
    assert set(found) == {"database", "objectstore", "migrate", "bucket", "tracking", "escaped"}
    assert timings.critical_path(graphs.platform(), found)[-1] == max(found, key=lambda name: found[name].ready)


def test_a_failed_start_stops_everything_and_says_why(home: Home) -> None:
    with keeping(home, "failing") as client:
        with contextlib.suppress(HomeportError):
            *_, last = client.events("stopped")
        failure = client.last_failure()
        assert failure
        assert (failure.code, failure.what) == ("MIGRATE_EXITED", "migrate failed (exit 3)")
        assert failure.evidence == (("last log", "first\nno such table"),)
        assert last["event"] == "stopped"
    assert "MIGRATE_EXITED" in home.failure.read_text()


def test_events_until_ready_end_with_the_failure(home: Home) -> None:
    with keeping(home, "failing") as client:
        last = list(client.events("ready"))[-1]
        assert (last["event"], last["error"]["code"]) == ("failed", "MIGRATE_EXITED")
        assert last["error"]["aside"] == "everything this command started was stopped"


def test_a_failed_daemon_exits_non_zero(home: Home) -> None:
    started = detach.start(home, graphs.argv(home, "failing"), owned=False)
    assert started.process.wait() == 1


def test_a_process_that_explains_itself_is_quoted(home: Home) -> None:
    with keeping(home, "explaining") as client:
        last = list(client.events("ready"))[-1]
        assert (last["error"]["code"], last["error"]["fix"]) == ("SCHEMA_NEWER", "upgrade")


def test_a_program_that_is_not_there_is_named(home: Home) -> None:
    with keeping(home, "missing") as client:
        error = list(client.events("ready"))[-1]["error"]
    assert error["code"] == "A_NOT_STARTED"
    assert error["evidence"] == [{"label": "program", "text": "no-such-program: No such file or directory"}]


def test_a_deaf_process_is_killed_with_its_grandchildren(home: Home) -> None:
    with keeping(home, "deaf") as client:
        ready(client)
        family = identity.marked(f"HOMEPORT_REASON_FILE={home.reason('deaf')}")
        assert len(family) >= 3
        details = [event.get("detail") for event in client.stop() if event.get("state") == "stopped"]
        assert details == ["killed: did not stop in 0.3 s"]
    assert not [pid for pid in family if identity.alive(pid)]


def test_a_descendant_that_covered_its_tracks_is_killed_all_the_same(home: Home, eventually: Eventually) -> None:
    with keeping(home, "scrubbed") as client:
        ready(client)
        note = home.root / "scrubbed.pid"
        eventually(lambda: note.exists() and note.read_text().strip())
        list(client.stop())
    assert not identity.alive(int(note.read_text()))


def test_the_daemon_buries_orphans(home: Home, eventually: Eventually) -> None:
    with keeping(home, "orphans") as client:
        ready(client)
        note = home.root / "orphan.pid"
        eventually(lambda: note.exists() and note.read_text().strip())
        eventually(lambda: identity.started(int(note.read_text())) is None)
        list(client.stop())


def test_a_second_signal_kills(home: Home, eventually: Eventually) -> None:
    started = detach.start(home, graphs.argv(home, "deaf"), owned=False)
    client = Client(home)
    ready(client)
    for _ in range(2):
        os.kill(started.pid, signal.SIGTERM)
        eventually(lambda: (client.status() or {"stopping": True})["stopping"])
    assert started.process.wait(5) == 0


def test_a_killed_service_comes_back(home: Home, eventually: Eventually) -> None:
    with keeping(home, "crashing") as client:
        ready(client)
        row = (client.status() or {})["services"][0]
        os.kill(row["pid"], signal.SIGKILL)

        def back() -> bool:
            now = (client.status() or {})["services"][0]
            return bool(now["restarts"] == 1 and now["state"] == "healthy" and now["pid"] != row["pid"])

        eventually(back)
        list(client.stop())


def test_a_restart_on_request_gives_another_process(home: Home) -> None:
    with keeping(home, "alone") as client:
        ready(client)
        before = (client.status() or {})["services"][0]["pid"]
        event = client.restart("a")
        assert (event["event"], event["service"]) == ("restarted", "a")
        assert (client.status() or {})["services"][0]["pid"] != before
        with pytest.raises(HomeportError, match="SERVICE_UNKNOWN"):
            client.restart("nobody")
        list(client.stop())


def test_waiting_ends_when_everything_is_ready_or_the_time_is_over(home: Home) -> None:
    with keeping(home, "slow") as client:
        client.wait("a", 5.0)
        with pytest.raises(HomeportError) as refusal:
            client.wait(None, 0.05)
        assert (refusal.value.code, refusal.value.exit_code) == ("NOT_READY", 3)
        list(client.stop())


def test_down_in_the_middle_of_a_start_leaves_nothing(home: Home) -> None:
    with keeping(home, "slow") as client:
        client.wait("a", 5.0)
        events = [event["event"] for event in client.stop()]
        assert events[0] == "stopping"
        assert events[-1] == "stopped"


def test_kill_waits_for_nothing(home: Home) -> None:
    with keeping(home, "deaf") as client:
        ready(client)
        client.kill()
        assert not client.held()


def test_a_home_has_one_owner(home: Home) -> None:
    with keeping(home, "alone") as client:
        with pytest.raises(HomeportError) as refusal:
            detach.start(home, graphs.argv(home, "alone"), owned=False)
        assert refusal.value.code == "HOME_IN_USE"
        assert refusal.value.evidence == (("owner", f"pid {client.pid()}"),)
        assert client.last_failure() is None, "the second one wrote nothing into the first one's home"
        ready(client)
        list(client.stop())


def test_an_owned_daemon_stops_when_its_owner_is_gone(home: Home, eventually: Eventually) -> None:
    program = (
        "import sys, time; from homeport.supervisor import detach; from homeport.supervisor.layout import Home;"
        "from tests.unit.supervisor import graphs; from pathlib import Path; home = Home(Path(sys.argv[1]));"
        "detach.start(home, graphs.argv(home, 'alone'), owned=True); print('up', flush=True); time.sleep(1000)"
    )
    owner = subprocess.Popen((sys.executable, "-c", program, str(home.root)), stdout=subprocess.PIPE, cwd=ROOT)
    assert owner.stdout
    assert owner.stdout.readline() == b"up\n"
    client = Client(home)
    ready(client)
    events = client.events()
    assert next(events)
    owner.kill()
    owner.wait()
    owner.stdout.close()
    reasons = [event["reason"] for event in events if event["event"] == "stopping"]
    assert reasons == ["the command that started it is gone"]
    eventually(lambda: not client.held())


def test_a_taken_port_is_refused_before_anything_starts(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        home.root.parent.joinpath("port").write_text(str(port))
        with pytest.raises(HomeportError) as refusal:
            detach.start(home, graphs.argv(home, "taken"), owned=False)
    error = refusal.value
    assert (error.code, error.exit_code) == ("PORT_TAKEN", 1)
    assert error.what == f"port {port} (tracking) is taken"
    assert f"(pid {os.getpid()}, user " in error.evidence[0][1]
    assert f"HOMEPORT_TRACKING_PORT={port + 1}" in error.fix
    assert not home.log("tracking").exists()


def test_a_home_with_a_long_path_and_blanks_works(tmp_path: Path) -> None:
    home = Home(tmp_path / ("a long name with blanks " * 8).strip() / "home's")
    assert len(os.fsencode(home.socket)) <= 100
    with keeping(home, "platform") as client:
        ready(client)
        assert not (home.run / "control.sock").exists()
        list(client.stop())
    assert not home.socket.exists()


def test_what_a_service_prints_is_in_its_log(home: Home) -> None:
    with keeping(home, "platform") as client:
        ready(client)
        list(client.stop())
    assert [(line.service, line.text) for line in logs.tail(home, "migrate", 9)] == [("migrate", "at head")]


def test_the_socket_is_private_and_refuses_nonsense(home: Home) -> None:
    with keeping(home, "alone") as client:
        ready(client)
        assert home.socket.stat().st_mode & 0o777 == 0o600
        for nonsense in (b"\n", b"{}\n", b"[]\n", b'{"do": "dance"}\n', b"\xff\n"):
            with socket.socket(socket.AF_UNIX) as raw:
                raw.connect(str(home.socket))
                raw.sendall(nonsense)
                assert json.loads(raw.makefile().readline())["error"]["code"] == "REQUEST_UNKNOWN"
        assert client.running()
        list(client.stop())
