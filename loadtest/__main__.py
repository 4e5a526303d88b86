"""`python -m loadtest`: load a platform, look whether anything was lost, write a report.

Exit code 0 says that every answer was right. Locust runs in processes of its own; this one asks the platform before
and after, and watches.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from homeport import program
from homeport.errors import ExitCode, HomeportError
from loadtest import counted, ledger, replicas
from loadtest.outside import Platform
from loadtest.plan import PREFIX, USERS, Plan
from loadtest.timeline import Timeline

_LOCUSTFILE = Path(__file__).with_name("locustfile.py")
_PATIENCE = 30.0  # seconds for a model that was promoted a moment ago
_FINISH = 15  # seconds for a user to end what it is at, once the time is over
_EPILOG = """Every option is a variable, too (HOMEPORT_LOAD_…; LOCUST_USERS, LOCUST_SPAWN_RATE, LOCUST_RUN_TIME). What
is not listed goes to Locust as it is: --master --expect-workers 4 here, --worker --master-host HOST elsewhere."""


def options(arguments: Sequence[str], environ: Mapping[str, str]) -> tuple[argparse.Namespace, list[str]]:
    """What was asked for, and what is Locust's."""

    def said(name: str, default: str = "") -> str:
        return environ.get(PREFIX + name) or default

    parser = argparse.ArgumentParser("python -m loadtest", description=__doc__, epilog=_EPILOG, allow_abbrev=False)
    add = parser.add_argument
    add("-u", "--users", type=int, default=environ.get("LOCUST_USERS") or "20", help="at once (default 20)")
    add("-r", "--spawn-rate", type=float, default=environ.get("LOCUST_SPAWN_RATE") or "5", help="new ones a second (5)")
    add("-t", "--run-time", default=environ.get("LOCUST_RUN_TIME") or "60s", help="60s, 5m, 1h30m (default 60s)")
    add("--processes", type=int, default=said("PROCESSES", "1"), help="that make the load, one core each (default 1)")
    add("--shares", default=said("SHARES"), help=f"of {', '.join(USERS)}: writer=4,reader=2,predictor=8,artifacts=1")
    add("--pause", default=said("PAUSE", "0.1"), help="seconds between two requests of a user; 0: none (default 0.1)")
    add("--model", default=said("MODEL"), help="that is asked (default wine-quality, else the first one served)")
    add("--rows", default=said("ROWS"), help="CSV file of rows to predict (default: drawn around the input example)")
    add("--artifact-mb", default=said("ARTIFACT_MB", "4"), help="size of an artifact (default 4)")
    add("--report", type=Path, default=said("REPORT", "loadtest-report"), help="directory (default loadtest-report)")
    add("--keep", action="store_true", default=said("KEEP") == "true", help="do not delete the experiment at the end")
    add("--kubernetes", metavar="NAMESPACE", default=environ.get(PREFIX + "KUBERNETES"), help="watch replicas there")
    add("--prometheus", metavar="URL", default=said("PROMETHEUS"), help="that knows the replicas")
    add("--replicas", metavar="CSV", default=said("REPLICAS"), help="of replicas seen: at, component, ready")
    return parser.parse_known_args(arguments)


@dataclass(frozen=True)
class Course:
    """One test to be run: what Locust is called with, and what is asked for beside it."""

    plan: Plan
    asked: argparse.Namespace
    rest: Sequence[str]

    @property
    def command(self) -> list[str]:
        """Locust's command line."""
        workers = [] if "--master" in self.rest else ["--processes", str(self.asked.processes), *_loopback()]
        return [
            *_locust(), "--headless", *workers, "--users", str(self.asked.users), "--spawn-rate",
            str(self.asked.spawn_rate), "--run-time", self.asked.run_time, "--stop-timeout", str(_FINISH),
            "--exit-code-on-error", "0", "--only-summary", "--loglevel", "WARNING", "--json-file",
            str(self.asked.report / "locust"), *self.rest,
        ]  # fmt: skip

    @property
    def environ(self) -> dict[str, str]:
        """Of Locust's processes: the plan, and where this package is."""
        plan = self.plan
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, (_above(), os.environ.get("PYTHONPATH")))),
            PREFIX + "SHARES": ",".join(f"{user}={share}" for user, share in plan.shares.items()),
            PREFIX + "PAUSE": str(plan.pause),
            PREFIX + "ARTIFACT_MB": str(plan.artifact_bytes / 2**20),
            PREFIX + "EXPERIMENT": plan.experiment,
            PREFIX + "MODEL": plan.model,
            PREFIX + "ROWS": str(plan.rows or ""),
            PREFIX + "RESULT": str(plan.result),
        }


def main() -> None:
    """Run a test; or, with --worker, be one of its workers on another machine."""
    asked, rest = options(sys.argv[1:], os.environ)
    environ = {
        **os.environ, PREFIX + "SHARES": asked.shares, PREFIX + "PAUSE": asked.pause, PREFIX + "MODEL": asked.model,
        PREFIX + "ROWS": asked.rows and str(Path(asked.rows).resolve()), PREFIX + "ARTIFACT_MB": asked.artifact_mb,
        PREFIX + "EXPERIMENT": os.environ.get(PREFIX + "EXPERIMENT") or f"load test {time.strftime('%F %T')}",
    }  # fmt: skip
    plan = Plan.read(environ)
    if "--worker" in rest:
        program.replace([*_locust(), *rest], {**environ, "PYTHONPATH": _above()})
    platform = Platform(plan)
    plan = with_model(plan, platform, explicit=bool(asked.shares))
    experiment_id = platform.experiment()
    try:
        with tempfile.TemporaryDirectory(prefix="loadtest-") as room:
            course = Course(replace(plan, result=Path(room) / "result.json"), asked, rest)
            good = test(course, platform)
    finally:
        if not asked.keep:
            platform.delete(experiment_id)
    if not good:
        sys.exit(int(ExitCode.FAILED))


def test(course: Course, platform: Platform) -> bool:
    """Load, compare, report; whether all was well."""
    from loadtest import report

    asked, plan = course.asked, course.plan
    _say(f"loading {plan.tracking} with {asked.users} users for {asked.run_time}")
    asked.report.mkdir(parents=True, exist_ok=True)
    begin = time.time()
    with replicas.watched(asked.kubernetes) as samples:
        code = _load(course)
    end = time.time()
    timeline, written, workers = result(plan, code)
    _say(f"comparing {len(written):,} histories with what was acknowledged")
    verdict = platform.verify(written)
    if asked.prometheus:
        samples += replicas.told(asked.prometheus, lambda: replicas.prometheus(asked.prometheus, begin, end))
    if asked.replicas:
        samples += replicas.told(asked.replicas, lambda: replicas.from_file(Path(asked.replicas)))
    numbers = counted.count(timeline, ramp=asked.users / asked.spawn_rate)
    found = report.Test(facts(course, workers), numbers, verdict, troubles(course, workers, numbers))
    page = report.write(found, timeline, samples, asked.report)
    print((asked.report / "report.md").read_text(encoding="utf-8"), flush=True)
    _say(f"{'passed' if found.good else 'FAILED'}; report: {page}")
    return found.good


def with_model(plan: Plan, platform: Platform, *, explicit: bool) -> Plan:
    """The plan with the model that is asked; without its askers where nothing is served and nobody insisted.

    Raises:
        HomeportError: LOADTEST_NO_MODEL.
    """
    if not plan.wants("predictor"):
        missing = "HOMEPORT_SERVING_URL is not set"
        if explicit and plan.shares.get("predictor"):
            raise _no_model(missing)
        return replace(plan, shares={user: share for user, share in plan.shares.items() if user != "predictor"})
    there = platform.askable(plan.model, _PATIENCE)
    chosen = plan.model or ("wine-quality" if "wine-quality" in there else next(iter(there), ""))
    if chosen in there:
        return replace(plan, model=chosen)
    missing = f"{plan.serving} serves {', '.join(there) or 'no model'} with an input example"
    if explicit or plan.model:
        raise _no_model(missing)
    _say(f"no predictions: {missing}")
    return replace(plan, shares={user: share for user, share in plan.shares.items() if user != "predictor"})


def result(plan: Plan, code: int) -> tuple[Timeline, list[ledger.Written], int]:
    """What Locust's master wrote down: requests, metrics, and how many workers said their last word.

    Raises:
        HomeportError: LOADTEST_BROKE.
    """
    if plan.result is None or not plan.result.is_file():
        raise HomeportError(
            code="LOADTEST_BROKE",
            what="Locust ended without a result",
            evidence=(("exit code", str(code)),),
            why="its own messages stand above",
            fix="see `python -m loadtest --help`; fewer --processes where memory is short",
            exit_code=ExitCode.USAGE if code == ExitCode.USAGE else ExitCode.FAILED,
        )
    said: dict[str, Any] = json.loads(plan.result.read_text())
    timeline = Timeline()
    timeline.merge(said["timeline"])
    return timeline, ledger.read(said["ledger"]), int(said["workers"])


def facts(course: Course, workers: int) -> list[tuple[str, str]]:
    """How it was run."""
    plan, asked = course.plan, course.asked
    there = ", ".join(f"{user} {share}" for user, share in plan.shares.items() if plan.wants(user))
    return [
        ("platform", f"{plan.tracking} {plan.serving}".strip()),
        ("users", f"{asked.users}, {asked.spawn_rate:g} more a second, shares: {there}"),
        ("time", f"{asked.run_time}, {plan.pause:g} s between two requests of a user"),
        ("load made by", f"{workers} processes"),
        *([("model", f"{plan.model}, rows {plan.rows or 'drawn around its input example'}")] if plan.model else []),
        *([("artifacts", f"{plan.artifact_bytes / 2**20:g} MiB each")] if plan.wants("artifacts") else []),
    ]


def troubles(course: Course, workers: int, numbers: counted.Numbers) -> list[str]:
    """What makes a test fail beside wrong answers."""
    found = []
    if "--master" not in course.rest and workers != course.asked.processes:
        found.append(f"{course.asked.processes - workers} of {course.asked.processes} processes did not finish.")
    asked = {row.kind.split()[0] for row in numbers.rows[:-1]}
    silent = [user for user in USERS if course.plan.wants(user) and user not in asked]
    if silent and course.asked.users >= len(USERS):
        found.append(f"No request was made by: {', '.join(silent)}.")
    return found


def _load(course: Course) -> int:
    """Run Locust to its end; Ctrl-C and SIGTERM end the test early, and it is reported all the same."""
    # In a session of its own: Ctrl-C would reach each of its processes, and each would end by itself.
    running = subprocess.Popen(
        course.command, env=course.environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
    )

    def end(*_: object) -> None:
        running.terminate()

    before = {each: signal.signal(each, end) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        return running.wait()
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        if running.poll() is None:
            running.kill()


def _loopback() -> list[str]:
    """Where processes of this machine meet: not on every address, as is Locust's default, and not where others do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    bound = ["--master-bind-host", "127.0.0.1", "--master-bind-port", port]
    return [*bound, "--master-host", "127.0.0.1", "--master-port", port]


def _locust() -> list[str]:
    return [sys.executable, "-W", "ignore", "-m", "locust", "--locustfile", str(_LOCUSTFILE)]


def _above() -> str:
    return str(Path(__file__).resolve().parents[1])


def _no_model(missing: str) -> HomeportError:
    return HomeportError(
        code="LOADTEST_NO_MODEL",
        what="there is no model to ask",
        evidence=(("serving", missing),),
        fix="homeport train wine-quality, or leave predictions out: --shares writer=4,reader=2,artifacts=1",
        exit_code=ExitCode.USAGE,
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    program.run(main)
