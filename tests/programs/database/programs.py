"""The programs under test as real processes: started with an environment, asked for their reason, never left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil


def eventually(check: Callable[[], bool], timeout: float = 20.0) -> None:
    """Return as soon as `check` holds; fail when it does not within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not check():
        assert time.monotonic() < deadline, f"did not hold within {timeout:.0f} s"
        time.sleep(0.01)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    names = ("PATH", "HOME", "LANG", "TMPDIR", "_HOMEPORT_FASTLANE_TRIED")  # the last: tools/verify_mlflow.py
    kept = {name: os.environ[name] for name in names if name in os.environ}
    return kept | dict(extra)


class Program:
    """A running `python -m MODULE` in a process group of its own."""

    def __init__(self, module: str, env: Mapping[str, str], room: Path, prefix: tuple[str, ...] = ()) -> None:
        room.mkdir(parents=True, exist_ok=True)
        number = len(list(room.glob("log-*")))
        self.log = room / f"log-{number}"
        self._reason = room / f"reason-{number}.json"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, "-m", module],
                env=environment(env) | {"HOMEPORT_REASON_FILE": str(self._reason)},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def reason(self, timeout: float = 30.0) -> dict[str, Any]:
        """The error the program ended with."""
        code = self.process.wait(timeout)
        assert self._reason.exists(), f"exit code {code} and no reason:\n{self.said}"
        error: dict[str, Any] = json.loads(self._reason.read_text())
        assert code == error["exit_code"], self.said
        assert error["what"] in self.said
        return error

    def refused(self) -> str:
        """The code of the error the program ended with."""
        return str(self.reason()["code"])

    def wait(self, timeout: float = 60.0) -> str:
        """What it said, once it ended well."""
        code = self.process.wait(timeout)
        assert code == 0, f"exit code {code}:\n{self.said}"
        return self.said

    def stop(self, sig: int = signal.SIGINT) -> int:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(sig)
        return self.process.wait(30)

    def kill(self) -> None:
        """kill -9 of the program itself; what it started is not told."""
        self.process.kill()
        self.process.wait(30)

    def end(self) -> None:
        """Whatever is left of it and its children ends now."""
        family = psutil.Process(self.pid).children(recursive=True) if self.process.poll() is None else []
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait(30)
        eventually(lambda: all(over(process) for process in family))


def over(process: psutil.Process) -> bool:
    """Whether it has ended, though nobody may have asked for its exit code yet."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
