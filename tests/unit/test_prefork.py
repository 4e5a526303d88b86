"""Workers that die are replaced, those that keep dying are not, and who is told to end takes its workers with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.programs.database.programs import environment, eventually, over

_PROGRAM = """
import os, signal, socket, sys, time
from pathlib import Path
from homeport.errors import HomeportError
from homeport.prefork import Master

room = Path(sys.argv[1])
room.joinpath("master").write_text(str(os.getpid()))

def up(index):
    half = room / f"half{index}"
    half.write_text(str(os.getpid()))
    half.replace(room / f"worker{index}")

def wait(index, _socket=None, seconds=60):
    up(index)
    time.sleep(seconds)

def drain(index, _socket):
    def end(*_):
        with room.joinpath("order").open("a") as file:
            file.write(f"{index} told, worker 1 there: {psutil_alive()}\\n")
        sys.exit(0)
    def psutil_alive():
        import psutil
        return psutil.Process(int(room.joinpath("worker1").read_text())).status() != "zombie"
    signal.signal(signal.SIGTERM, end)
    wait(index)

def refuse(index, _socket):
    if index == 0:
        wait(index)
    while not room.joinpath("worker0").exists():
        time.sleep(0.01)
    raise HomeportError(code="WORKER_REFUSES", what="it will not", fix="ask another")

def master_of_more(index, _socket):
    if index == 0:
        wait(0)
    Master(name="inner", count=2, serve=lambda inner, _: wait(10 + inner), sockets=[listener]).run()

listener = socket.socket()
listener.bind(("127.0.0.1", 0))
try:
    Master(name="program", sockets=[listener], PASSED).run()
except HomeportError as error:
    print(error.code, flush=True)
    sys.exit(3)
"""


class Run:
    """The program, with these arguments of its master."""

    def __init__(self, room: Path, passed: str) -> None:
        self.room = room
        with (room / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM.replace("PASSED", passed), str(room)],
                env=environment({}), stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def worker(self, index: int, instead_of: int = 0) -> int:
        """Its pid, once it is up."""
        file = self.room / f"worker{index}"
        eventually(lambda: file.exists() and int(file.read_text()) != instead_of)
        return int(file.read_text())

    @property
    def said(self) -> str:
        return (self.room / "log").read_text()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[[str], Run]]:
    """Starts the program."""
    runs: list[Run] = []

    def start(passed: str) -> Run:
        runs.append(Run(tmp_path, passed))
        return runs[-1]

    yield start
    for each in runs:
        each.process.kill()
        each.process.wait(10)


def test_a_worker_that_is_killed_is_replaced_and_the_others_stay(run: Callable[[str], Run]) -> None:
    program = run("count=2, serve=wait")
    first, second = program.worker(0), program.worker(1)
    os.kill(first, signal.SIGKILL)
    assert program.worker(0, instead_of=first) != first
    assert psutil.pid_exists(second)
    assert program.said == "worker 0 of program ended (-9), starting another\n"


def test_workers_that_keep_dying_are_given_up_with_what_ended_them_in_the_log(run: Callable[[str], Run]) -> None:
    program = run("count=1, serve=lambda index, _: 1 / 0")
    assert program.process.wait(20) == 3
    assert program.said.count("ZeroDivisionError: division by zero") == 5
    assert program.said.endswith("WORKERS_DIE\n")


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_ends_its_workers_and_their_workers(run: Callable[[str], Run], sig: signal.Signals) -> None:
    program = run("count=2, serve=master_of_more")
    workers = [psutil.Process(program.worker(index)) for index in (0, 10, 11)]
    program.process.send_signal(sig)
    assert program.process.wait(10) == 0
    assert all(over(each) for each in workers)
    assert program.said == ""


def test_a_master_that_is_killed_takes_its_workers_and_their_workers_with_it(run: Callable[[str], Run]) -> None:
    program = run("count=2, serve=master_of_more")
    workers = [psutil.Process(program.worker(index)) for index in (0, 10, 11)]
    program.process.kill()
    eventually(lambda: all(over(each) for each in workers))


def test_an_inner_master_that_is_killed_is_replaced_with_all_its_workers(run: Callable[[str], Run]) -> None:
    program = run("count=2, serve=master_of_more")
    outer, first = program.worker(0), program.worker(10)
    psutil.Process(first).parent().kill()  # type: ignore[union-attr] # it has one
    assert program.worker(10, instead_of=first) != first
    assert psutil.pid_exists(outer)


def test_where_it_is_strict_a_workers_refusal_is_the_masters_and_the_others_end(run: Callable[[str], Run]) -> None:
    program = run("count=2, serve=refuse, strict=True")
    assert program.process.wait(20) == 3
    assert program.said == "WORKER_REFUSES\n"
    assert not psutil.pid_exists(program.worker(0))


def test_where_it_is_not_a_workers_refusal_stands_in_the_log_and_it_is_replaced(run: Callable[[str], Run]) -> None:
    program = run("count=2, serve=refuse")
    assert program.process.wait(20) == 3
    assert program.said.count("it will not\n  fix          ask another\n  code         WORKER_REFUSES") == 5
    assert program.said.endswith("WORKERS_DIE\n")


def test_in_turn_the_first_has_ended_before_the_others_are_told(run: Callable[[str], Run]) -> None:
    program = run("count=2, serve=drain, in_turn=True")
    program.worker(0), program.worker(1)
    program.process.terminate()
    assert program.process.wait(10) == 0
    told = (program.room / "order").read_text().splitlines()
    assert told == ["0 told, worker 1 there: True", "1 told, worker 1 there: True"]
