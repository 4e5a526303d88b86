"""Logs of containers: the last lines of some services merged by time, and then what follows. Prints nothing."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from homeport.compose import commands
from homeport.compose.commands import Project
from homeport.compose.engine import call

_LINE = re.compile(r"(?P<container>\S+)\s+\| (?P<at>\d{4}-\d\d-\d\dT[\d:.]+Z) ?(?P<text>.*)")


@dataclass(frozen=True)
class LogLine:
    """One line. `ts` is ISO 8601 in UTC, as exact as the engine tells it."""

    ts: str
    service: str
    text: str


def read(
    project: Project, services: Sequence[str], environ: Mapping[str, str], *, lines: int, follow: bool
) -> Iterator[LogLine]:
    """Lines of several services merged by time, then what is written from now on.

    Args:
        project: whose logs.
        services: whose; none: all.
        environ: of Compose.
        lines: how many past lines of each.
        follow: go on with new ones.
    """
    past = call(commands.logs(project, list(services), lines=lines), environ, project.directory).out.splitlines()
    told = sorted((line for line in map(parsed, past) if line), key=lambda line: line.ts)
    yield from told
    if follow:
        last = {line.service: line.ts for line in told}
        since = told[-1].ts if told else ""
        yield from _following(project, services, environ, last, since)


def _following(
    project: Project, services: Sequence[str], environ: Mapping[str, str], last: Mapping[str, str], since: str
) -> Iterator[LogLine]:
    """What comes after the lines that were told already."""
    argv = commands.logs(project, list(services), lines=-1 if since else 0, follow=True, since=since)
    with subprocess.Popen(
        argv, env=dict(environ), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        errors="replace", cwd=project.directory,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            for row in process.stdout:
                line = parsed(row.rstrip("\n"))
                if line and line.ts > last.get(line.service, ""):
                    yield line
        finally:
            process.terminate()


def parsed(row: str) -> LogLine | None:
    """`tracking-1  | 2026-11-21T10:00:00.123456789Z text` as a line; None for anything else."""
    found = _LINE.match(row)
    if found is None:
        return None
    return LogLine(found["at"], re.sub(r"-\d+$", "", found["container"]), found["text"])
