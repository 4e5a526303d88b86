"""What every command shares: its output, its platform, and the options they are made from."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from homeport.cli.output import Output

if TYPE_CHECKING:
    from homeport.compose.platform import ComposePlatform
    from homeport.platform import Platform
    from homeport.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")


def _keep(ctx: click.Context, option: click.Parameter, value: str | None) -> None:
    if value is not None and option.name:
        ctx.obj[option.name] = value


def target_options(command: F) -> F:
    """--target and --directory: which platform a command is about. What they say is kept for `settings`."""
    directory = click.option(
        "--directory",
        metavar="DIR",
        expose_value=False,
        callback=_keep,
        help="Where compose.yaml, .env and secrets/ are; means --target compose. Not given: the working directory.",
    )
    target = click.option(
        "--target",
        type=click.Choice(["embedded", "compose"]),
        expose_value=False,
        callback=_keep,
        help="Plain processes, or containers (HOMEPORT_TARGET).",
    )
    return target(directory(command))


def output(ctx: click.Context, *, as_json: bool = False) -> Output:
    """The output of this call."""
    return Output(as_json=as_json, quiet=bool(ctx.obj["quiet"]))


def settings(ctx: click.Context, out: Output, **flags: object) -> Settings:
    """The settings of this call; unknown HOMEPORT_* variables are warned about."""
    from homeport.settings import load

    directory = ctx.obj.get("directory")
    target = ctx.obj.get("target") or ("compose" if directory else None)
    place = Path(directory).expanduser() if directory else None
    found = load({"home": ctx.obj["home"], "target": target, **flags}, directory=place)
    for warning in found.warnings:
        out.warning(warning)
    return found


def platform(
    ctx: click.Context, out: Output, *, timeout: float | None = None, **flags: object
) -> Platform | ComposePlatform:
    """The platform of this call: of its home, or, in containers, of its directory."""
    from homeport.platform import Platform

    found = settings(ctx, out, **flags)
    if found.target == "compose":
        from homeport.compose.platform import ComposePlatform

        named = ctx.obj.get("directory")
        place = Path(named).expanduser() if named else Path.cwd()
        return ComposePlatform(found, place, named=named is not None, timeout=timeout)
    return Platform(settings=found, timeout=timeout)


def command_name() -> str:
    """How this command line was called, for pasting: `homeport` where that is on the PATH, else its path."""
    called = Path(sys.argv[0])
    if called.name != "homeport":
        return "python -m homeport" if called.name == "__main__.py" else "homeport"
    found = shutil.which("homeport")
    if found and Path(found).resolve() == called.resolve():
        return "homeport"
    return str(called) if len(str(called)) < len(short_path(called.absolute())) else short_path(called.absolute())


def seconds(value: float) -> str:
    """A duration for people: `0.9 s`, `75 s`."""
    return f"{value:.1f} s" if value < 60 else f"{value:.0f} s"  # noqa: PLR2004 - a minute


def short_path(path: Path) -> str:
    """The path with the home directory as `~`."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except ValueError:
        return str(path)
