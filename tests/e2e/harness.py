"""A platform driven as a user drives it, by the `homeport` command; what it may leave behind; waiting by condition."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil

T = TypeVar("T")
HOMEPORT = str(Path(sys.executable).parent / "homeport")
_NEUTRAL = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "HOMEPORT_NO_SKIP")
_START = 180.0


def eventually(check: Callable[[], T], timeout: float = 60.0, what: str = "the condition") -> T:
    """The first truthy answer of `check`; fails after `timeout` seconds with the last answer or error."""
    deadline = time.monotonic() + timeout
    last: object = None
    while time.monotonic() < deadline:
        try:
            found = check()
        except Exception as error:
            last = error
        else:
            if found:
                return found
            last = found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not hold within {timeout:.0f} s; last: {last!r}")


class Homeport:
    """One home and the commands run against it. `environ` is added to a neutral environment."""

    def __init__(self, home: Path, environ: Mapping[str, str] | None = None) -> None:
        self.home = home
        neutral = {name: os.environ[name] for name in _NEUTRAL if name in os.environ}
        self.environ = {
            **neutral, "HOMEPORT_HOME": str(home), "HOMEPORT_TRACKING_PORT": "0", "HOMEPORT_SERVING_PORT": "0",
            "NO_COLOR": "1", **(environ or {}),
        }  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def run(self, *args: str, timeout: float = _START, **environ: str) -> subprocess.CompletedProcess[str]:
        """One command; never raises on its exit code."""
        return subprocess.run(
            [HOMEPORT, *args], env={**self.environ, **environ}, capture_output=True, text=True, timeout=timeout,
            stdin=subprocess.DEVNULL, check=False, cwd=self.home.parent,
        )  # fmt: skip

    def ok(self, *args: str, timeout: float = _START, **environ: str) -> str:
        """One command that must succeed: its stdout."""
        done = self.run(*args, timeout=timeout, **environ)
        assert done.returncode == 0, f"homeport {' '.join(args)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def refused(self, *args: str, exit_code: int, timeout: float = _START, **environ: str) -> dict[str, Any]:
        """One command that must fail with one error block in the house form: the same error as `--json` has it."""
        done = self.run(*args, timeout=timeout, **environ)
        said = f"{done.stdout}\n{done.stderr}"
        assert done.returncode == exit_code, f"exit {done.returncode}, expected {exit_code}\n{said}"
        assert "Traceback" not in said, said
        rows = [line for line in done.stderr.splitlines() if line.startswith(("x ", "✗ "))]
        assert len(rows) == 1, said
        code = [line.split()[1] for line in done.stderr.splitlines() if line.startswith("  code ")]
        fix = [line for line in done.stderr.splitlines() if line.startswith("  fix ")]
        assert len(code) == 1, said
        assert len(fix) == 1, said
        return {"code": code[0], "text": done.stderr}

    def up(self, *args: str) -> str:
        """Bring it up detached."""
        return self.ok("up", "--detach", *args)

    def spawn(self, *args: str) -> subprocess.Popen[str]:
        """A command that goes on."""
        return subprocess.Popen(
            [HOMEPORT, *args], env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            stdin=subprocess.DEVNULL, cwd=self.home.parent,
        )  # fmt: skip

    def status(self) -> dict[str, Any]:
        """`homeport status --json`."""
        found = json.loads(self.run("status", "--json").stdout)
        assert isinstance(found, dict)
        return found

    def service(self, name: str) -> dict[str, Any]:
        """One row of the status."""
        return next(row for row in self.status()["services"] if row["name"] == name)

    def comes_back(self, service: str, restarts: int) -> None:
        """Wait until a service was restarted once more, and the platform is ready again."""

        def back() -> bool:
            found = self.status()
            row = next(row for row in found["services"] if row["name"] == service)
            return bool(found["ready"]) and row["restarts"] > restarts

        eventually(back, 120, f"{service} restarted and the platform ready")

    def env(self, *args: str) -> dict[str, str]:
        """The neutral environment with what `homeport env` adds."""
        added = json.loads(self.ok("env", "--json", *args))
        return {**self.environ, **added}

    @property
    def tracking_uri(self) -> str:
        """URL of its tracking server."""
        return self.env()["MLFLOW_TRACKING_URI"]

    @property
    def keeper_pid(self) -> int:
        """The process that owns the home."""
        return int(json.loads((self.home / "run" / "state.json").read_text())["pid"])

    def close(self) -> None:
        """Stop it, whatever state it is in."""
        if self.home.is_dir():
            subprocess.run(
                [HOMEPORT, "down"], env=self.environ, capture_output=True, timeout=_START, stdin=subprocess.DEVNULL,
                check=False, cwd="/",
            )  # fmt: skip


_LOOP = """
import sys
from pathlib import Path
from mlflow import MlflowClient
acknowledged, stop = open(sys.argv[1], "w", buffering=1), Path(sys.argv[2])
client, step = MlflowClient(), 0
run_id = client.create_run("0").info.run_id
print(run_id, file=acknowledged)
while not stop.exists():
    client.log_metric(run_id, "m", step / 2, step=step)
    print(step, file=acknowledged)
    step += 1
"""


class MetricLoop:
    """An MLflow client, in a process of its own, that logs step after step and notes each one it got an answer for.

    What it cannot log at once it tries again as MLflow's client does by itself; when that gives up, the loop fails.
    """

    def __init__(self, platform: Homeport, directory: Path) -> None:
        self._uri = platform.tracking_uri
        self._file, self._stop = directory / "acknowledged", directory / "stop"
        environ = {**platform.env(), "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _LOOP, str(self._file), str(self._stop)],
            env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def __enter__(self) -> Self:
        self.goes_on()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._process.kill()
        self._process.communicate()

    def acknowledged(self) -> list[int]:
        """The steps whose call returned; the last line may be in the middle of being written."""
        whole = self._file.read_text().rpartition("\n")[0] if self._file.exists() else ""
        return [int(step) for step in whole.splitlines()[1:]]

    def goes_on(self, steps: int = 20) -> None:
        """Wait for so many more acknowledged steps."""
        before = len(self.acknowledged())

        def more() -> bool:
            assert self._process.poll() is None, "the client gave up"
            return len(self.acknowledged()) >= before + steps

        eventually(more, 180, f"{steps} more steps acknowledged")

    def end(self) -> None:
        """Let it finish its last step; its every call must have succeeded, with its own retries."""
        self._stop.touch()
        said = self._process.communicate(timeout=180)[1]
        assert self._process.returncode == 0, said

    def assert_nothing_lost(self) -> None:
        """Every acknowledged step is in the metric's history, and none is there twice."""
        run_id = self._file.read_text().splitlines()[0]
        path = f"/api/2.0/mlflow/metrics/get-history?run_id={run_id}&metric_key=m"
        with urlopen(self._uri + path, timeout=60) as answer:
            history = Counter(int(metric.get("step", 0)) for metric in json.load(answer)["metrics"])
        assert not set(self.acknowledged()) - set(history)
        assert set(history.values()) == {1}


def ready(uri: str) -> dict[str, Any]:
    """What `/ready` answers, whatever its status is."""
    try:
        with urlopen(f"{uri}/ready", timeout=30) as answer:
            found = json.load(answer)
    except HTTPError as error:
        with error:
            found = json.load(error)
    assert isinstance(found, dict)
    return found


@dataclass(frozen=True)
class Leaks:
    """What is there now: processes by (pid, start) and command line, sockets and temporary files of ours."""

    processes: frozenset[tuple[int, float, str]]
    files: frozenset[str]

    def __sub__(self, other: Leaks) -> Leaks:
        return Leaks(self.processes - other.processes, self.files - other.files)

    def texts(self) -> list[str]:
        """Each leak as text."""
        return [f"{pid} {command}" for pid, _, command in self.processes] + sorted(self.files)


def leaks() -> Leaks:
    """The processes and temporary files that a platform could leave."""
    found = set()
    for process in psutil.process_iter():
        try:
            with process.oneshot():
                if process.status() != psutil.STATUS_ZOMBIE:
                    # A service is known by its home in this variable, whatever its command line says.
                    mark = process.environ().get("HOMEPORT_REASON_FILE", "")
                    # PostgreSQL's sessions overwrite both; they work in their cluster for as long as they live.
                    told = [*process.cmdline(), mark, process.cwd()]
                    found.add((process.pid, process.create_time(), " ".join(told).strip()))
        except psutil.Error:
            continue
    temporary = {str(path) for base in ("/tmp", "/dev/shm") for path in Path(base).glob("*homeport*/*")}
    return Leaks(frozenset(found), frozenset(temporary))


def remove(path: Path) -> None:
    """Remove a directory that may hold other users' files (the database's, when root runs the tests)."""
    shutil.rmtree(path, ignore_errors=True)
