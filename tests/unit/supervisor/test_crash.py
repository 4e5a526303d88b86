"""kill -9 of the supervisor, of its warden, of both: at any moment, nothing stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from homeport.supervisor import detach, identity, ledger
from homeport.supervisor.client import Client
from homeport.supervisor.layout import Home
from tests.unit.supervisor import graphs
from tests.unit.supervisor.conftest import Eventually, mentioning
from tests.unit.supervisor.test_daemon import ROOT, keeping, ready


def warden(home: Home) -> int:
    return next(pid for pid in mentioning(home.run) if b"warden.py" in Path(f"/proc/{pid}/cmdline").read_bytes())


def test_a_killed_supervisor_leaves_no_process_and_no_socket(home: Home, eventually: Eventually) -> None:
    with keeping(home, "platform") as client:
        ready(client)
        os.kill(client.pid() or 0, signal.SIGKILL)
        eventually(lambda: not mentioning(home.root))
    assert not home.socket.exists()
    assert not Client(home).running()
    assert (Client(home).last_state() or {})["services"], "what ran is still known"


@pytest.mark.parametrize("moment", [0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.13, 0.16, 0.2, 0.25, 0.3])
def test_a_supervisor_killed_in_the_middle_of_a_start_leaves_nothing(
    home: Home, eventually: Eventually, moment: float
) -> None:
    daemon = subprocess.Popen(graphs.argv(home, "platform"), cwd=ROOT)
    eventually(home.warden_lock.exists)
    born = time.monotonic()
    eventually(lambda: time.monotonic() - born >= moment)
    daemon.kill()
    daemon.wait()
    eventually(lambda: not mentioning(home.root))
    assert not home.socket.exists()


def test_a_deaf_service_of_a_killed_supervisor_is_killed(home: Home, eventually: Eventually) -> None:
    with keeping(home, "deaf") as client:
        ready(client)
        os.kill(client.pid() or 0, signal.SIGKILL)
        eventually(lambda: not mentioning(home.root))


def test_the_next_start_sweeps_what_even_the_warden_could_not(home: Home, eventually: Eventually) -> None:
    with keeping(home, "platform") as client:
        ready(client)
        pid = client.pid() or 0
        # Stopped first, or it would replace its warden.
        os.kill(pid, signal.SIGSTOP)
        os.kill(warden(home), signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
        left = set(identity.marked(f"HOMEPORT_REASON_FILE={home.reasons}/"))
    assert len(left) >= 8
    assert home.socket.exists()
    with keeping(home, "alone") as client:
        first = ready(client)[0]
        assert (first["event"], first["pid"], first["stopped"]) == ("recovered", pid, len(left))
        assert f"(pid {pid})" in str(first["text"])
        assert f"stopped {len(left)} processes" in str(first["text"])
        assert not [one for one in left if identity.alive(one)]
        list(client.stop())


def test_the_next_start_waits_for_the_warden_and_says_that_something_was_killed(home: Home) -> None:
    with keeping(home, "deaf") as client:
        ready(client)
        os.kill(client.pid() or 0, signal.SIGKILL)
    with keeping(home, "alone") as client:
        first = ready(client)[0]
        assert (first["event"], first["stopped"], first["services"]) == ("recovered", 0, ["deaf"])
        list(client.stop())


def test_a_start_after_an_orderly_stop_recovers_nothing(home: Home) -> None:
    for _ in range(2):
        with keeping(home, "alone") as client:
            assert "recovered" not in [event["event"] for event in ready(client)]
            list(client.stop())


def test_a_process_id_that_belongs_to_a_stranger_by_now_is_left_alone(home: Home) -> None:
    stranger = subprocess.Popen(("sleep", "1000"), start_new_session=True)
    home.state.write_text(
        '{"pid": 1, "started": "gone", "services": [],'
        f' "processes": [{{"name": "a", "pgid": {stranger.pid}, "started": "boot/0"}}]}}'
    )
    with keeping(home, "alone") as client:
        ready(client)
        list(client.stop())
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_a_torn_state_file_is_no_reason_not_to_start(home: Home) -> None:
    home.state.write_text('{"pid": 12, "proc')
    with keeping(home, "alone") as client:
        ready(client)
        list(client.stop())


def test_a_killed_warden_is_replaced_and_told_everything(home: Home, eventually: Eventually) -> None:
    with keeping(home, "platform") as client:
        ready(client)
        first = warden(home)
        os.kill(first, signal.SIGKILL)
        eventually(lambda: any(b"warden.py" in _command(pid) for pid in mentioning(home.run) if pid != first))
        assert (client.status() or {})["ready"], "the services did not notice"
        os.kill(client.pid() or 0, signal.SIGKILL)
        eventually(lambda: not mentioning(home.root))


def test_the_warden_does_not_listen_to_the_terminal(home: Home, eventually: Eventually) -> None:
    with keeping(home, "alone") as client:
        ready(client)
        keeper = warden(home)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(keeper, number)
        os.kill(client.pid() or 0, signal.SIGHUP)
        assert (client.status() or {})["ready"]
        assert identity.alive(keeper)
        list(client.stop())


def test_no_child_holds_the_wardens_pipe_or_the_lock(home: Home) -> None:
    with keeping(home, "platform") as client:
        ready(client)
        for pid in identity.marked(f"HOMEPORT_REASON_FILE={home.reasons}/"):
            links = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
            assert not [link for link in links if str(home.run) in link], links
            assert not [link for link in links if link.startswith("socket:") and pid not in _listeners(client)], links
        list(client.stop())


def test_a_supervisor_that_hangs_is_told_apart_from_one_that_is_not_there(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homeport.supervisor.client._PATIENCE", 0.2)
    with keeping(home, "alone") as client:
        ready(client)
        pid = client.pid() or 0
        os.kill(pid, signal.SIGSTOP)
        assert not client.running()
        with pytest.raises(Exception, match="DAEMON_UNRESPONSIVE") as refusal:
            client.status()
        assert f"kill -9 {pid}" in str(getattr(refusal.value, "fix", ""))
        os.kill(pid, signal.SIGCONT)
        list(client.stop())


def test_a_client_that_waits_hears_of_a_killed_supervisor(home: Home) -> None:
    with keeping(home, "alone") as client:
        events = client.events()
        assert next(events)
        os.kill(client.pid() or 0, signal.SIGKILL)
        with pytest.raises(Exception, match="DAEMON_DIED"):
            list(events)


def test_the_ledger_is_read_back_as_it_was_written(home: Home) -> None:
    with keeping(home, "alone") as client:
        ready(client)
        found = ledger.read(home)
        assert found
        assert (found.pid, found.stale) == (client.pid(), False)
        assert [left.name for left in found.processes if left.name] == ["a"]
        assert detach.inherited() == detach.Pipes()
        list(client.stop())


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _listeners(client: Client) -> set[int]:
    """The database listens, so that it has a socket of its own."""
    return {row["pid"] for row in (client.status() or {})["services"] if row["name"] == "database"}
