"""One child process: how it is started, what it inherits, how its end is noticed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from homeport.supervisor import ending, identity
from homeport.supervisor.process import Launch, LocalProcess, NotStartedError, spawn
from tests.unit.supervisor.conftest import wait_until


class Child:
    """A launch that remembers."""

    def __init__(self, tmp_path: Path, *argv: str, **more: Any) -> None:
        self.output = b""
        self.told: list[str] = []
        env = {"PATH": os.environ["PATH"], "MARK": str(tmp_path)}
        self.launch = Launch(argv=argv, env=env, cwd=tmp_path, output=self._hear, **{**self._tell(), **more})

    def _hear(self, chunk: bytes) -> None:
        self.output += chunk

    def _tell(self) -> dict[str, Callable[[int], None]]:
        return {
            "register": lambda pid: self.told.append(f"register {identity.alive(pid)}"),
            "forget": lambda pid: self.told.append(f"forget {identity.started(pid) is not None}"),
        }

    async def run(self) -> int:
        return await (await spawn(self.launch)).wait()


def run(main: Awaitable[Any]) -> Any:
    async def wrapped() -> Any:
        return await main

    return asyncio.run(wrapped())


def test_a_program_runs_with_exactly_its_argv_environment_and_directory(tmp_path: Path) -> None:
    text = "import os,sys;print(sys.argv[1:], sorted(os.environ), os.getcwd(), os.getsid(0) == os.getpid())"
    child = Child(tmp_path, sys.executable, "-I", "-S", "-c", text, "a b", "", "ü", "-x")
    assert run(child.run()) == 0
    path = os.fspath(tmp_path)
    expected = ["LC_CTYPE", "MARK", "PATH"]  # Python sets LC_CTYPE itself (PEP 538).
    assert child.output.decode() in {
        f"{['a b', '', 'ü', '-x']} {names} {path} True\n" for names in (expected, expected[1:])
    }


def test_a_program_inherits_no_descriptor_but_its_three(tmp_path: Path) -> None:
    child = Child(tmp_path, "sh", "-c", "ls /proc/$$/fd; readlink /proc/$$/fd/0")
    assert run(child.run()) == 0
    assert child.output == b"0\n1\n2\n/dev/null\n"


def test_a_program_ignores_no_signal_that_python_ignores(tmp_path: Path) -> None:
    child = Child(tmp_path, "sh", "-c", "grep SigIgn /proc/$$/status")
    assert run(child.run()) == 0
    ignored = int(child.output.split()[1], 16)
    wanted = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    assert not [number for number in wanted if ignored & 1 << (number - 1)]


def test_it_is_registered_before_it_runs_and_forgotten_before_its_id_is_free(tmp_path: Path) -> None:
    child = Child(tmp_path, "true")
    assert run(child.run()) == 0
    assert child.told == ["register True", "forget True"]


def test_nothing_runs_when_the_supervisor_cannot_register_it(tmp_path: Path) -> None:
    def refuse(_: int) -> None:
        raise OSError(28, "No space left on device")

    child = Child(tmp_path, "sh", "-c", f"touch {tmp_path}/ran", register=refuse)
    with pytest.raises(OSError, match="No space"):
        run(child.run())
    assert not (tmp_path / "ran").exists()


def test_a_program_that_is_not_there_or_not_a_program_is_refused_by_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("x")
    for program, reason in (("no-such", "No such file or directory"), (str(tmp_path / "text"), "Permission denied")):
        with pytest.raises(NotStartedError) as refusal:
            run(Child(tmp_path, program).run())
        assert (refusal.value.program, refusal.value.reason) == (program, reason)


def test_a_working_directory_that_is_gone_is_refused(tmp_path: Path) -> None:
    child = Child(tmp_path, "true")
    with pytest.raises(NotStartedError):
        run(spawn(Launch(("true",), child.launch.env, tmp_path / "gone", child.launch.output)))


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", -9), ("kill -15 $$", -15)])
def test_how_it_ended_is_known(tmp_path: Path, script: str, code: int) -> None:
    assert run(Child(tmp_path, "sh", "-c", script).run()) == code


def test_what_it_said_last_is_not_lost(tmp_path: Path) -> None:
    child = Child(tmp_path, "sh", "-c", "head -c 3000000 /dev/zero; echo last >&2")
    assert run(child.run()) == 0
    assert child.output.endswith(b"\0last\n")
    assert len(child.output) == 3_000_005


def test_its_group_goes_with_it(tmp_path: Path) -> None:
    child = Child(tmp_path, "sh", "-c", "sleep 1000 & sleep 1000 & echo $!; exit 3")
    assert run(child.run()) == 3
    wait_until(lambda: not identity.alive(int(child.output)))


def test_whoever_left_the_group_goes_with_it_too(tmp_path: Path) -> None:
    text = "setsid sleep 1000 & echo $!; sleep 0.2"
    child = Child(tmp_path, "sh", "-c", text, marker=f"MARK={tmp_path}")
    assert run(child.run()) == 0
    assert not identity.alive(int(child.output))


def test_a_background_process_that_keeps_the_output_open_does_not_keep_us(tmp_path: Path) -> None:
    child = Child(tmp_path, "sh", "-c", "setsid sleep 1000 & echo $!")
    assert run(child.run()) == 0
    os.kill(int(child.output), signal.SIGKILL)


def test_cancelling_the_wait_does_not_touch_the_process(tmp_path: Path) -> None:
    async def main() -> int:
        process = await spawn(Child(tmp_path, "sleep", "1000").launch)
        waiting = asyncio.create_task(process.wait())
        await asyncio.sleep(0)
        waiting.cancel()
        assert not process.ended
        process.kill()
        return await process.wait()

    assert run(main()) == -9


def test_cancelling_the_start_leaves_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        for steps in range(6):
            starting = asyncio.create_task(spawn(Child(tmp_path, "sleep", "1000").launch))
            for _ in range(steps):
                await asyncio.sleep(0)
            starting.cancel()
            try:
                process = await starting
            except asyncio.CancelledError:
                continue
            process.kill()
            await process.wait()

    run(main())


def test_a_signal_reaches_the_leader_only(tmp_path: Path) -> None:
    async def main() -> bytes:
        ready = asyncio.Event()
        heard = b""

        def hear(chunk: bytes) -> None:
            nonlocal heard
            heard += chunk
            ready.set()

        below = "sh -c 'trap \"echo child\" TERM; while :; do sleep 0.01; done'"
        script = f"{below} & trap 'echo leader; exit' TERM; echo up; wait"
        child = Child(tmp_path, "sh", "-c", script)
        process = await spawn(Launch(child.launch.argv, child.launch.env, tmp_path, hear))
        await ready.wait()
        process.signal(signal.SIGTERM)
        await process.wait()
        process.signal(signal.SIGTERM)
        process.kill()
        return heard

    assert run(main()) == b"up\nleader\n"


def test_where_there_is_no_pidfd_a_thread_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(ending, "_handle", refuse)
    child = Child(tmp_path, "sh", "-c", "echo x; exit 5")
    assert run(child.run()) == 5
    assert child.told == ["register True", "forget True"]


def test_a_hundred_at_once_all_end_with_their_own_code(tmp_path: Path) -> None:
    async def main() -> list[int]:
        children = [Child(tmp_path, "sh", "-c", f"exit {number}") for number in range(40)]
        return list(await asyncio.gather(*(child.run() for child in children)))

    assert run(main()) == list(range(40))


def test_a_process_is_told_from_a_later_one_with_its_id() -> None:
    mine = identity.started(os.getpid())
    assert mine
    assert identity.same(os.getpid(), mine)
    assert not identity.same(os.getpid(), mine + "0")
    assert not identity.same(os.getpid(), "")
    assert identity.started(2**22 + 1) is None
    assert not identity.alive(2**22 + 1)
    assert LocalProcess is not None
