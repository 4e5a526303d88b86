"""status, wait, logs, open, graph: what runs, what it says, and how it hangs together."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

import click

from homeport.cli.context import json_option, output, platform, seconds, settings, target_options
from homeport.cli.output import SERVICE_COLOURS, Output, table
from homeport.errors import ExitCode, HomeportError

if TYPE_CHECKING:
    from homeport.compose.platform import ComposePlatform
    from homeport.platform import Platform

_POLL = 0.2  # s; a status request takes under a millisecond


@click.command(epilog="Examples: homeport status · homeport status --json | jq .ready")
@target_options
@json_option
@click.pass_context
def status(ctx: click.Context, *, as_json: bool) -> int:
    """Show what runs and whether it is ready. Exits 3 when it is not."""
    out = output(ctx, as_json=as_json)
    target = platform(ctx, out)
    found = target.status()
    if as_json:
        out.data(found)
    elif not found["services"]:
        out.result(f"not running  ({target.home})")
        if found.get("detail"):
            out.result(f"  {found['detail']}")
        out.result("  start it: homeport up --detach")
    else:
        for line in _status_lines(found, out):
            out.result(line)
    for note in found.get("notes", ()):
        out.warning(note)
    return ExitCode.OK if found["ready"] else ExitCode.NOT_READY


def _status_lines(found: dict[str, Any], out: Output) -> list[str]:
    services = [row for row in found["services"] if row["kind"] == "service"]
    rows = [
        (
            row["name"],
            row["state"],
            _age(row["since"]),
            f"pid {row['pid']}" if row["pid"] else "",
            {0: "", 1: "1 restart"}.get(row["restarts"], f"{row['restarts']} restarts"),
            row["url"] or "",
        )
        for row in services
    ]
    lines = []
    for row, line in zip(services, table(rows, indent=""), strict=True):
        lines.append(f"  {out.mark(row['health'] in {'healthy', 'none'} and row['state'] != 'failed')} {line}")
        if row["detail"]:
            lines.append(f"      {row['detail']}")
    lines.append("ready" if found["ready"] else "not ready")
    return lines


def _age(since: str) -> str:
    from datetime import UTC, datetime

    if not since:
        return ""
    age = (datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds()
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if age >= size:
            return f"{age / size:.0f} {unit}"
    return f"{max(age, 0):.0f} s"


@click.command(epilog="Examples: homeport wait · homeport wait tracking --timeout 60")
@click.argument("service", required=False)
@click.option(
    "--timeout", type=click.FloatRange(min=0), default=120.0, show_default=True, metavar="S", help="Seconds to wait."
)
@target_options
@json_option
@click.pass_context
def wait(ctx: click.Context, *, service: str | None, timeout: float, as_json: bool) -> int:
    """Wait until the platform, or one service, is ready. Exits 3 when it is not in time."""
    out = output(ctx, as_json=as_json)
    target = platform(ctx, out)
    begin = time.monotonic()
    while True:
        found = target.status()
        if _ready(found, service):
            took = time.monotonic() - begin
            subject = service or "the platform"
            out.data(found) if as_json else out.result(f"{subject} is ready ({seconds(took)})")
            return ExitCode.OK
        if time.monotonic() - begin >= timeout:
            raise _not_ready(found, service, timeout)
        time.sleep(_POLL)


def _ready(found: dict[str, Any], service: str | None) -> bool:
    if service is None:
        return bool(found["ready"])
    rows = {row["name"]: row for row in found["services"]}
    if service not in rows and rows:
        raise HomeportError(
            code="SERVICE_UNKNOWN",
            what=f'there is no service "{service}"',
            fix=f"name one of: {', '.join(rows)}",
            exit_code=ExitCode.USAGE,
        )
    return service in rows and rows[service]["state"] in {"healthy", "completed"}


def _not_ready(found: dict[str, Any], service: str | None, timeout: float) -> HomeportError:
    waiting = [row for row in found["services"] if row["state"] not in {"healthy", "completed"}]
    evidence = tuple((row["name"], f"{row['state']} {row['detail'] or ''}".strip()) for row in waiting)
    return HomeportError(
        code="NOT_READY",
        what=f"{service or 'the platform'} was not ready within {seconds(timeout)}",
        evidence=evidence,
        why="" if found["services"] else "the platform is not running",
        fix="homeport logs" if found["services"] else "homeport up --detach",
        exit_code=ExitCode.NOT_READY,
    )


@click.command(epilog="Examples: homeport logs -f · homeport logs tracking --lines 200")
@click.argument("service", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on showing new lines.")
@click.option("-n", "--lines", type=click.IntRange(min=0), default=100, show_default=True, help="How many past lines.")
@target_options
@json_option
@click.pass_context
def logs(ctx: click.Context, *, service: str | None, follow: bool, lines: int, as_json: bool) -> int:
    """Show the services' logs, merged by time."""
    out = output(ctx, as_json=as_json)
    target = platform(ctx, out)
    known = _log_names(target)
    if service and service not in known:
        raise HomeportError(
            code="LOG_UNKNOWN",
            what=f'there is no log of "{service}"',
            evidence=(("home", str(target.home)),),
            fix=f"name one of: {', '.join(known)}" if known else "homeport up --detach",
            exit_code=ExitCode.USAGE,
        )
    names = [service] if service else known
    width = max(map(len, names), default=0)
    colours = {name: SERVICE_COLOURS[i % len(SERVICE_COLOURS)] for i, name in enumerate(names)}
    for line in _log_lines(target, names, lines=lines, follow=follow):
        if as_json:
            out.data({"event": "log", "at": line.ts, "service": line.service, "text": line.text})
        else:
            prefix = out.colour(f"{line.service:<{width}} │", colours[line.service], stream=sys.stdout)
            out.result(f"{prefix} {line.text}")
    return ExitCode.OK


class _Line(Protocol):
    """A line of a log, wherever it was kept."""

    @property
    def ts(self) -> str: ...
    @property
    def service(self) -> str: ...
    @property
    def text(self) -> str: ...


def _log_names(target: Platform | ComposePlatform) -> list[str]:
    from homeport.platform import Platform
    from homeport.supervisor.layout import Home

    if not isinstance(target, Platform):
        return target.log_names()
    return sorted(file.stem for file in Home(target.home).logs.glob("*.log"))


def _log_lines(target: Platform | ComposePlatform, names: list[str], *, lines: int, follow: bool) -> Iterator[_Line]:
    from homeport.platform import Platform
    from homeport.supervisor import logs
    from homeport.supervisor.layout import Home

    if not isinstance(target, Platform):
        # Ended by SIGTERM as by Ctrl-C: what reads for us must end, too.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(ExitCode.TERMINATED))
        return target.logs(names, lines=lines, follow=follow)
    return logs.follow(Home(target.home), names, lines=lines, follow=follow)


@click.command(name="open", epilog="Example: homeport open")
@target_options
@click.pass_context
def open_(ctx: click.Context) -> int:
    """Open MLflow's UI in a browser; prints the URL where there is none."""
    import webbrowser

    out = output(ctx)
    uri = platform(ctx, out).tracking_uri
    out.result(uri)
    if not webbrowser.open(uri):
        out.progress("no browser found on this machine; open the URL above")
    return ExitCode.OK


@click.command(epilog="Examples: homeport graph · homeport graph --mermaid · homeport graph --timings")
@click.option("--mermaid", "as_mermaid", is_flag=True, help="A mermaid flowchart.")
@click.option(
    "--timings", is_flag=True, help="The last start: when each service started and was ready, and the critical path."
)
@target_options
@json_option
@click.pass_context
def graph(ctx: click.Context, *, as_mermaid: bool, timings: bool, as_json: bool) -> int:
    """Draw the services and what each waits for."""
    from homeport.model.drawing import mermaid, text
    from homeport.model.service import Job, Target
    from homeport.stack import build

    out = output(ctx, as_json=as_json)
    found = settings(ctx, out)
    built = build(found, target=Target.CONTAINERS if found.target == "compose" else Target.EMBEDDED)
    if timings:
        return _timings(out, platform(ctx, out), built)
    if as_json:
        rows = [
            {
                "name": n.name,
                "kind": "job" if isinstance(n, Job) else "service",
                "title": n.title,
                "needs": dict(n.needs),
            }
            for n in built
        ]
        out.data({"services": rows})
    else:
        out.result(mermaid(built) if as_mermaid else text(built))
    return ExitCode.OK


def _timings(out: Output, target: Platform | ComposePlatform, built: Any) -> int:  # noqa: ANN401 - Graph, imported lazily
    from homeport.supervisor import timings
    from homeport.supervisor.layout import Home

    found = timings.read(Home(target.home))
    if not found:
        raise HomeportError(
            code="NO_TIMINGS",
            what="no start of this home has been timed yet",
            evidence=(("home", str(target.home)),),
            fix="homeport up --detach",
        )
    if out.as_json:
        path = list(timings.critical_path(built, found))
        out.data({"timings": {name: asdict(timing) for name, timing in found.items()}, "critical_path": path})
    else:
        out.result(timings.text(built, found))
    return ExitCode.OK
