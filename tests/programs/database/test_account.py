"""As root the server runs as another account and still reaches its files; as an ordinary user it just runs."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from homeport.database import account as accounts
from homeport.database.account import Account
from homeport.errors import HomeportError
from tests.programs.database.programs import eventually, over
from tests.programs.database.server import Server

IS_ROOT = os.geteuid() == 0
DAC_OVERRIDE, DAC_READ_SEARCH = 1 << 1, 1 << 2
DOCKER = (
    "chown,dac_override,fowner,fsetid,kill,setgid,setuid,setpcap,net_bind_service,net_raw,sys_chroot,mknod,"
    "audit_write,setfcap"
)


def only(capabilities: str) -> tuple[str, ...]:
    """The command in front of another that leaves it, as root, no more than these."""
    if not IS_ROOT:
        return ()
    return ("setpriv", "--bounding-set", "-all," + ",".join(f"+{name}" for name in capabilities.split(",")))


def capabilities(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"CapEff:\s*([0-9a-f]+)", status)
    assert found is not None
    return int(found[1], 16)


OWN = capabilities(os.getpid())  # what an ordinary user's programs inherit: nearly always nothing


def user(server: Server) -> int:
    return int(psutil.Process(server.programs[-1].pid).uids().effective)


@pytest.fixture
def closed(new: Callable[..., Server]) -> Server:
    """A server whose data lies below a directory that only its owner may pass, as /root is."""
    server = new("closed/data")
    server.data.parent.mkdir(mode=0o700)
    return server


def test_data_below_a_directory_closed_to_others_is_served(closed: Server) -> None:
    program = closed.start()
    assert closed.ask("SELECT 1") == [(1,)]
    assert capabilities(program.pid) == (DAC_READ_SEARCH if IS_ROOT else OWN)
    assert user(closed) == closed.cluster.stat().st_uid


def test_with_the_capabilities_of_a_container_it_is_served_too(closed: Server) -> None:
    program = closed.start(*only(DOCKER))
    assert closed.ask("SELECT 1") == [(1,)]
    assert capabilities(program.pid) == (DAC_OVERRIDE if IS_ROOT else OWN)


def test_without_any_capability_for_it_the_closed_directory_is_named(closed: Server) -> None:
    if not IS_ROOT:
        assert accounts.choose(closed.cluster) is None
        return
    error = closed.launch(*only("chown,setgid,setuid")).reason()
    assert error["code"] == "DATABASE_UNREACHABLE"
    assert error["fix"].startswith("HOMEPORT_HOME=/var/lib/homeport")


def test_the_first_closed_directory_is_the_one_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "open" / "closed" / "below").mkdir(parents=True)
    assert accounts.closed(tmp_path / "open" / "closed" / "below") is None
    assert accounts.closed(tmp_path / "open" / "none" / "below") == tmp_path / "open" / "none"


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A directory everybody can pass."""
    directory = Path(tempfile.mkdtemp(prefix="homeport-test-", dir="/var/tmp"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def test_data_everybody_can_reach_needs_no_capability_of_its_own(server: Server, reachable: Path) -> None:
    shutil.move(server.data, reachable / "data")
    moved = Server(reachable / "data", server.room)
    server.programs.append(program := moved.start())
    by_root = 0 if others_reach_the_programs() else DAC_READ_SEARCH
    assert capabilities(program.pid) == (by_root if IS_ROOT else OWN)
    program.end()


def others_reach_the_programs() -> bool:
    from homeport.database.binaries import find_binaries

    directory = find_binaries()
    return all(step.stat().st_mode & 0o001 for step in (directory, *directory.parents))


def test_the_data_belongs_to_the_account_the_server_runs_as(running: Server) -> None:
    owner = running.cluster.stat().st_uid
    assert {path.lstat().st_uid for path in running.data.rglob("*")} == {owner}
    assert pwd.getpwuid(owner).pw_name in ({"postgres", "nobody"} if IS_ROOT else {pwd.getpwuid(os.geteuid()).pw_name})


def test_a_change_of_owner_that_was_interrupted_is_continued(server: Server) -> None:
    os.chown(server.data, os.geteuid(), os.getegid())
    os.chown(server.cluster / "PG_VERSION", os.geteuid(), os.getegid())
    server.start()
    assert server.ask("SELECT 1") == [(1,)]
    assert (server.cluster / "PG_VERSION").stat().st_uid == user(server)


def test_a_cluster_of_an_ordinary_user_stays_theirs(tmp_path: Path) -> None:
    if not IS_ROOT:
        assert accounts.choose(tmp_path) is None
        return
    os.chown(tmp_path, 54321, 54321)
    assert accounts.choose(tmp_path) == Account("54321", 54321, 54321, is_service=False)


def test_a_server_that_is_to_die_with_its_parent_does(server: Server) -> None:
    # The kernel forgets the wish when the user changes.
    parent = "import subprocess, sys; subprocess.run(['setpriv', '--pdeathsig', 'INT', *sys.argv[1:]])"
    program = server.start(sys.executable, "-c", parent)
    (child,) = psutil.Process(program.pid).children()
    assert child.name() == "postgres"
    program.kill()
    eventually(lambda: over(child))


def test_a_failure_as_the_account_can_be_told_as_root(tmp_path: Path) -> None:
    account = Account("nobody", 65534, 65534) if IS_ROOT else None
    before = (os.geteuid(), os.getegid(), os.getgroups(), Path.cwd())
    within: list[int] = []

    def fail() -> None:
        within.append(os.geteuid())
        raise HomeportError(code="X", what="x")

    with pytest.raises(HomeportError, match="X"):
        accounts.run_as(account, fail, reach=(Path("/"),), works=lambda: True)
    assert within == [65534 if IS_ROOT else os.geteuid()]
    assert (os.geteuid(), os.getegid(), os.getgroups(), Path.cwd()) == before
    (tmp_path / "as-before").touch()
