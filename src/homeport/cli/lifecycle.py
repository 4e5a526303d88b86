"""up, down, restart: what the user sees while the platform starts, runs and stops."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from homeport.cli import containers
from homeport.cli.context import json_option, output, platform, settings, target_options
from homeport.cli.progress import StartProgress, box
from homeport.errors import ExitCode, HomeportError

if TYPE_CHECKING:
    from homeport.cli.output import Output
    from homeport.platform import Platform


@click.command(epilog="Examples: homeport up --detach · homeport up --target compose · homeport --home /srv/mlflow up")
@click.option("-d", "--detach", is_flag=True, help="Return when ready; the platform runs on. Always so in containers.")
@click.option("--timeout", type=click.FloatRange(min=1), metavar="S", help="Seconds until a start has failed.")
@click.option("--isolated", is_flag=True, help="A home and ports of its own, beside any other platform.")
@click.option("--build", "build_images", is_flag=True, help="Build our image anew first (--target compose).")
@target_options
@json_option
@click.pass_context
def up(
    ctx: click.Context, *, detach: bool, timeout: float | None, isolated: bool, build_images: bool, as_json: bool
) -> int:
    """Bring the platform up and wait until it is ready.

    Without --detach it runs until Ctrl-C, and ends when this terminal does.
    """
    from homeport.platform import Platform

    out = output(ctx, as_json=as_json)
    target = platform(ctx, out, timeout=timeout)
    if not isinstance(target, Platform):
        if isolated:
            raise _only("--isolated", "embedded", "give each its own directory, COMPOSE_PROJECT_NAME and HTTPS port")
        return containers.up(target, out, build_images=build_images, as_json=as_json)
    if build_images:
        raise _only("--build", "compose", "homeport up --target compose --build")
    if isolated:
        ctx.obj["home"] = str(_isolated_home(ctx.obj["home"]))
        return _up(Platform(settings=settings(ctx, out), timeout=timeout), out, detach=detach, as_json=as_json)
    return _up(target, out, detach=detach, as_json=as_json)


def _only(option: str, target: str, fix: str) -> HomeportError:
    what = f"{option} is for --target {target} only"
    return HomeportError(code="USAGE", what=what, fix=fix, exit_code=ExitCode.USAGE)


def _up(target: Platform, out: Output, *, detach: bool, as_json: bool) -> int:
    progress = StartProgress(out)
    with _TwoStep(target, out) as interrupt:
        events = target.starting(attached=not detach)
        for event in events:
            out.data(event) if as_json else progress.show(event)
            if event["event"] == "already":
                interrupt.leave_alone()
            elif event["event"] == "started":
                interrupt.repeat()
            elif event["event"] == "ready" and not interrupt.stopped:
                break
        if interrupt.stopped:  # the events went on until everything had stopped
            return interrupt.exit_code
        if not as_json:
            for line in box(target, detach=detach or progress.already):
                out.result(line)
        if detach or progress.already:
            return ExitCode.OK
        return _stay(target, events, progress, interrupt, as_json=as_json, out=out)


def _stay(
    target: Platform, events: Iterator[Any], progress: StartProgress, interrupt: _TwoStep, *, as_json: bool, out: Output
) -> int:
    """Show what happens until the platform stops."""
    for event in events:
        out.data(event) if as_json else progress.show(event)
    return interrupt.exit_code if interrupt.stopped else ExitCode.OK


class _TwoStep:
    """Ctrl-C once stops gracefully and says so, twice kills. SIGTERM stops gracefully."""

    def __init__(self, target: Platform, out: Output) -> None:
        self._target = target
        self._out = out
        self._signals = 0
        self._ours = True
        self.exit_code: int = ExitCode.OK

    @property
    def stopped(self) -> bool:
        """Whether a signal came."""
        return self._signals > 0

    def leave_alone(self) -> None:
        """The platform was there before this command: from now on a signal ends the command only."""
        self._ours = False
        if self.stopped:
            raise click.exceptions.Exit(self.exit_code)

    def repeat(self) -> None:
        """Ask again for what was asked for before anybody could listen."""
        if self.stopped:
            self._ask()

    def __enter__(self) -> _TwoStep:
        self._before = {sig: signal.signal(sig, self._on_signal) for sig in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        for sig, handler in self._before.items():
            # Once it was asked to end, a late second Ctrl-C must not change the exit code.
            signal.signal(sig, signal.SIG_IGN if self.stopped else handler)
        if isinstance(error, HomeportError) and self._signals > 1:
            # What is killed may have no time to say how it ended, and that is no failure of this command.
            raise click.exceptions.Exit(self.exit_code)

    def _on_signal(self, sig: int, _frame: object) -> None:
        self._signals += 1
        self.exit_code = ExitCode.INTERRUPTED if sig == signal.SIGINT else ExitCode.TERMINATED
        if not self._ours:
            raise click.exceptions.Exit(self.exit_code)
        said = "Stopping (data is kept; Ctrl-C again kills)" if self._signals == 1 else "Killing"
        self._out.progress(said)
        self._ask()

    def _ask(self) -> None:
        from homeport.supervisor.client import Client
        from homeport.supervisor.layout import Home

        # A client of its own: the one that reads events may be in the middle of a line.
        client = Client(Home(self._target.home))
        ask = client.stop if self._signals == 1 else client.kill
        threading.Thread(target=_quietly, args=(ask,), daemon=True).start()


def _quietly(ask: Callable[[], object]) -> None:
    """Send a request and read its answer; that nothing runs any more is what was wanted."""
    with contextlib.suppress(HomeportError):
        answer = ask()
        for _ in answer if isinstance(answer, Iterator) else ():
            pass


@click.command(epilog="Examples: homeport down · homeport down --volumes --yes")
@click.option(
    "--volumes", is_flag=True, help="Remove all data, too: data, logs and secrets; in containers the volumes."
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask before data is removed.")
@target_options
@json_option
@click.pass_context
def down(ctx: click.Context, *, volumes: bool, yes: bool, as_json: bool) -> int:
    """Stop the platform; data is kept unless --volumes is given."""
    from homeport.platform import Platform

    out = output(ctx, as_json=as_json)
    target = platform(ctx, out)
    place = str(target.home) if isinstance(target, Platform) else f"the volumes of {target.site.model.name}"
    if volumes and not yes and sys.stdin.isatty():
        click.confirm(f"Remove every run, model and artifact in {place}?", abort=True, err=True)
    progress = StartProgress(out)
    was_running = target.stop(None if as_json else progress.show, volumes=volumes)
    if as_json:
        out.data({"stopped": was_running, "removed": volumes, "home": str(target.home)})
    elif not was_running:
        out.progress("Nothing was running" + (f"; data in {place} removed" if volumes else ""))
    else:
        out.progress(f"Data in {place} removed" if volumes else f"Data is kept in {place}")
    return ExitCode.OK


@click.command(epilog="Examples: homeport restart · homeport restart tracking")
@click.argument("service", required=False)
@target_options
@json_option
@click.pass_context
def restart(ctx: click.Context, *, service: str | None, as_json: bool) -> int:
    """Restart one service, or the whole platform."""
    from homeport.platform import Platform, not_running

    out = output(ctx, as_json=as_json)
    target = platform(ctx, out)
    if not target.running:
        raise not_running(target.home)
    if service:
        answer = target.restart(service)
        out.data(answer) if as_json else out.progress(f"  {out.mark(True)} {service} restarted")
        return ExitCode.OK
    progress = StartProgress(out)
    target.stop(None if as_json else progress.show)
    if not isinstance(target, Platform):
        return containers.up(target, out, build_images=False, as_json=as_json)
    for event in target.starting(attached=False):
        out.data(event) if as_json else progress.show(event)
    if not as_json:
        for line in box(target, detach=True):
            out.result(line)
    return ExitCode.OK


def _isolated_home(chosen: str | None) -> Path:
    """A new home whose homeport.toml says that its ports are free ones, so that later commands agree."""
    import secrets

    from homeport.platform import ISOLATED, PORTS
    from homeport.settings import default_home

    home = (
        Path(chosen).expanduser().absolute() if chosen else default_home().parent / f"homeport-{secrets.token_hex(3)}"
    )
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = home / "homeport.toml"
        if not file.exists():
            file.write_text(ISOLATED + "".join(f"{name} = 0\n" for name in PORTS), encoding="utf-8")
    except OSError as error:
        raise HomeportError(
            code="HOME_NOT_WRITABLE",
            what="the home for the isolated platform cannot be made",
            evidence=(("home", str(home)), ("error", error.strerror or str(error))),
            fix="choose another: homeport --home DIR up --isolated",
        ) from error
    return home
