"""render compose, env, values: the files that run the platform in containers, a site's own, a chart's values."""

from __future__ import annotations

import os
from pathlib import Path

import click

from homeport.cli.context import json_option, output, settings, short_path, target_options
from homeport.cli.output import Output
from homeport.errors import ExitCode

_directory = click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    metavar="DIR",
    help="Where the files are; the working directory when not given.",
)
_SHOWN = 40  # lines of a difference
_NAMED = 8  # variables


@click.group(epilog="Examples: homeport render env · homeport render compose --check · homeport render values")
def render() -> None:
    """Write compose files, an .env with generated secrets, or values for the chart."""


@render.command(epilog="Examples: homeport render compose · homeport render compose --check")
@_directory
@click.option("--check", is_flag=True, help="Write nothing; exit 1 when a file is not what it would be.")
@json_option
@click.pass_context
def compose(ctx: click.Context, *, directory: Path, check: bool, as_json: bool) -> int:
    """Write compose.yaml, its overlays and .env.example."""
    from homeport.render.files import stale, write

    out = output(ctx, as_json=as_json)
    changes = stale(directory)
    if not check:
        write(directory)
    if as_json:
        out.data({"stale": sorted(changes), "written": [] if check else sorted(changes)})
        return ExitCode.FAILED if check and changes else ExitCode.OK
    for name, lines in changes.items():
        out.result(f"{'stale' if check else 'wrote'}  {name}  {_count(lines)}")
        if check:
            _difference(out, lines)
    if not changes:
        out.result("every file is as it should be")
    elif check:
        out.result("  fix: homeport render compose")
    return ExitCode.FAILED if check and changes else ExitCode.OK


def _count(lines: list[str]) -> str:
    more = sum(line.startswith("+") and not line.startswith("+++") for line in lines)
    less = sum(line.startswith("-") and not line.startswith("---") for line in lines)
    return f"+{more} -{less}"


def _difference(out: Output, lines: list[str]) -> None:
    for line in lines[:_SHOWN]:
        out.result(f"  {line}")
    if len(lines) > _SHOWN:
        out.result(f"  … {len(lines) - _SHOWN} lines more")


@render.command(epilog="Examples: homeport render env · homeport render env --check")
@_directory
@click.option("--check", is_flag=True, help="Write nothing; exit 1 when something is missing.")
@json_option
@click.pass_context
def env(ctx: click.Context, *, directory: Path, check: bool, as_json: bool) -> int:
    """Make .env and secrets/ for Compose; what is there is never changed, what is missing is added."""
    from homeport.render.site import make

    out = output(ctx, as_json=as_json)
    found = make(directory, check=check)
    incomplete = bool(found.needed) or (check and found.changed)
    if as_json:
        out.data(
            {
                "complete": not incomplete,
                "made": [] if check else found.made,
                "added": [] if check else found.added,
                "missing": [*found.made, *found.added] if check else [],
                "taken": [{"variable": variable, "file": file} for variable, file in found.taken],
                "needed": [{"name": name, "why": why} for name, why in found.needed],
                "notes": found.notes,
            }
        )
        return ExitCode.FAILED if incomplete else ExitCode.OK
    files = [name for name in found.made if "/" in name]
    if len(files) < len(found.made):
        out.result(f"{'missing' if check else 'made'}   .env")
    if files:
        place = files[0].rsplit("/", 1)[0]
        out.result(f"{'missing' if check else 'made'}   {place}/: {', '.join(Path(name).name for name in files)}")
    if found.added:
        more = f", and {len(found.added) - _NAMED} more" if len(found.added) > _NAMED else ""
        out.result(f"{'missing' if check else 'added'}  in .env: {', '.join(found.added[:_NAMED])}{more}")
    for variable, file in found.taken:
        out.result(f"taken   {variable}: its value is in {file}; delete that line from .env")
    for note in found.notes:
        out.warning(note)
    for name, why in found.needed:
        out.result(f"needed  {name}: {why}")
    if not incomplete:
        if not found.changed:
            out.result(f"nothing is missing in {short_path(directory.absolute())}")
        out.result("  next: docker compose up --wait")
    elif check:
        out.result("  fix: homeport render env")
    if not check and os.getuid() == 0 and files:
        out.warning(
            'the files belong to root; make them as the user who starts Compose: docker run --user "$(id -u):$(id -g)"'
        )
    return ExitCode.FAILED if incomplete else ExitCode.OK


@render.command(
    epilog="Examples: homeport render values > values.yaml · homeport render values --secrets cluster-secrets"
)
@click.option(
    "--secrets",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Also write every password and key that the chart needs into DIR, for one Secret; this platform's own.",
)
@click.option(
    "--output",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write into FILE instead of stdout.",
)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 when FILE is not what it would be.")
@target_options
@json_option
@click.pass_context
def values(ctx: click.Context, *, secrets: Path | None, file: Path | None, check: bool, as_json: bool) -> int:
    """Print values for the chart: what this platform's settings say otherwise than its defaults.

    No password stands in them. What has no counterpart in a cluster is named in comments, and so are the commands
    that make the Secrets.
    """
    from homeport.render.chart import fragment, keys
    from homeport.render.chart.carried import carried
    from homeport.render.chart.origin import of_home, of_site

    if check and not file:
        raise click.UsageError("--check compares with a file: name it by --output FILE", ctx)
    out = output(ctx, as_json=as_json)
    found = settings(ctx, out)
    place = Path(ctx.obj.get("directory") or ".").expanduser()
    origin = of_site(found, place, os.environ) if found.target == "compose" else of_home(found)
    moved = carried(origin.settings, origin.target, image=origin.image, one_secret=secrets is not None)
    text = fragment.text(moved, secrets)
    changes = fragment.difference(file, text) if file else []
    made: list[str] = []
    if not check:
        if secrets:
            made = keys.write(origin, moved, secrets)
        if file and changes:
            fragment.write(file, text)
    if as_json:
        out.data(
            {
                "values": moved.nested(),
                "first": moved.steps,
                "left": [{"name": name, "why": why} for name, why in moved.left],
                "made": made,
                "stale": bool(check and changes),
            }
        )
        return ExitCode.FAILED if check and changes else ExitCode.OK
    if made:
        out.progress(f"made    {short_path(secrets.absolute()) if secrets else ''}: {', '.join(made)}")
    if not file:
        out.result(text.rstrip("\n"))
    elif not changes:
        out.result(f"{file} is as it should be")
    else:
        out.result(f"{'stale' if check else 'wrote'}  {file}  {_count(changes)}")
        if check:
            _difference(out, changes)
            out.result(f"  fix: homeport render values --output {file}")
    return ExitCode.FAILED if check and changes else ExitCode.OK
