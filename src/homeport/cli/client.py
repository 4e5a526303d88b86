"""env, run, train: a client's environment, and programs run in it."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from typing import TYPE_CHECKING

import click

from homeport.cli.context import json_option, output, platform, target_options
from homeport.errors import ExitCode, HomeportError

if TYPE_CHECKING:
    from homeport.compose.platform import ComposePlatform
    from homeport.platform import Platform

_PIPELINES = ("wine-quality", "penguins")
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126  # as shells have it


@click.command(epilog='Example: eval "$(homeport env)"')
@click.option("--admin", is_flag=True, help="Also the database and the bucket themselves, with their secrets.")
@target_options
@json_option
@click.pass_context
def env(ctx: click.Context, *, admin: bool, as_json: bool) -> int:
    """Print the variables a client needs, for eval.

    The output holds secrets with --admin, and where clients must log in (HOMEPORT_AUTH=basic).
    """
    out = output(ctx, as_json=as_json)
    variables = platform(ctx, out).env(admin=admin)
    if as_json:
        out.data(variables)
    else:
        for name, value in variables.items():
            out.result(f"export {name}={shlex.quote(value)}")
    return ExitCode.OK


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="Example: homeport run -- python my_training.py --epochs 3",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD …")
@target_options
@click.pass_context
def run(ctx: click.Context, *, command: tuple[str, ...]) -> int:
    """Run any program with those variables; its exit code is passed through.

    Those of `homeport env`. Where no environment is active, `python` is the one that Homeport is installed in.
    """
    return _become(platform(ctx, output(ctx)), list(command))


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []},
    add_help_option=False,
    epilog="Examples: homeport train penguins · homeport train wine-quality --data winequality-white.csv",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="wine-quality|penguins [OPTIONS]")
@target_options
@click.pass_context
def train(ctx: click.Context, *, arguments: tuple[str, ...]) -> int:
    """Train a reference model on real data and register it."""
    from homeport.knobs import did_you_mean

    if not arguments or arguments[0] in {"-h", "--help"}:
        click.echo(ctx.get_help())
        click.echo(f"\nEach takes its own options: homeport train {_PIPELINES[0]} --help")
        return ExitCode.OK if arguments else ExitCode.USAGE
    if arguments[0] not in _PIPELINES:
        raise HomeportError(
            code="PIPELINE_UNKNOWN",
            what=f'there is no pipeline "{arguments[0]}"',
            fix=did_you_mean(arguments[0], _PIPELINES) or f"name one of: {', '.join(_PIPELINES)}",
            exit_code=ExitCode.USAGE,
        )
    # -P: a file called mlflow.py in the working directory must not take the place of the real one.
    program = [sys.executable, "-P", "-m", "homeport.training", *arguments]
    if {"-h", "--help"} & set(arguments):
        os.execv(sys.executable, program)  # noqa: S606 - our own module
    return _become(platform(ctx, output(ctx)), program)


def _become(target: Platform | ComposePlatform, command: list[str]) -> int:
    """Replace this process by the program, so that signals and the exit code are the program's own."""
    environ = target.client_environ()
    sys.stdout.flush()
    sys.stderr.flush()
    found = shutil.which(command[0], path=environ.get("PATH"))
    if command[0] in {"python", "python3"} and found is None:
        found = sys.executable
    if found is None:
        exists = os.path.exists(command[0])  # noqa: PTH110 - any kind of entry
        raise HomeportError(
            code="PROGRAM_NOT_EXECUTABLE" if exists else "PROGRAM_NOT_FOUND",
            what=f'"{command[0]}" cannot be run',
            why="the file is not executable" if exists else "there is no such program on PATH",
            fix=f"chmod +x {command[0]}, or homeport run -- python {command[0]}" if exists else "check the name",
            exit_code=_NOT_EXECUTABLE if exists else _NOT_FOUND,
        )
    try:
        os.execve(found, command, environ)  # noqa: S606 - the user asked for this program
    except OSError as error:
        raise HomeportError(
            code="PROGRAM_NOT_EXECUTABLE",
            what=f'"{command[0]}" cannot be run',
            evidence=(("error", error.strerror or str(error)),),
            fix=f"if it is a script, name its interpreter: homeport run -- python {command[0]}",
            exit_code=_NOT_EXECUTABLE,
        ) from error
