"""The `homeport` command: its commands by name, loaded only when called, and the one place where errors end.

`--help` must be instant, so this module imports click and nothing else of weight.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from homeport.errors import ExitCode, HomeportError

# command -> (module, function), in the order of the help page, by group
COMMANDS: dict[str, dict[str, tuple[str, str]]] = {
    "Run the platform": {
        "up": ("lifecycle", "Bring the platform up and wait until it is ready."),
        "down": ("lifecycle", "Stop the platform; data is kept."),
        "restart": ("lifecycle", "Restart one service, or the whole platform."),
        "status": ("inspect", "Show what runs and whether it is ready."),
        "wait": ("inspect", "Wait until the platform, or one service, is ready."),
        "logs": ("inspect", "Show the services' logs."),
        "open": ("inspect", "Open MLflow's UI in a browser."),
    },
    "Train": {
        "env": ("client", "Print the variables a client needs, for eval."),
        "run": ("client", "Run any program with those variables."),
        "train": ("client", "Train a reference model on real data and register it."),
    },
    "Other targets": {
        "render": ("render", "Write compose files, an .env with generated secrets, or values for the chart."),
    },
    "Look closer": {
        "doctor": ("diagnose", "Check this machine and this home, and say what to mend."),
        "graph": ("inspect", "Draw the services and what each waits for."),
        "config": ("diagnose", "Show every setting, its value and where it came from."),
        "version": ("diagnose", "Print the versions of Homeport and what it runs."),
    },
}


class LazyGroup(click.Group):
    """A group that imports a command's module only when that command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order of the help page."""
        return [name for group in COMMANDS.values() for name in group]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command."""
        for group in COMMANDS.values():
            if cmd_name in group:
                module = importlib.import_module(f"homeport.cli.{group[cmd_name][0]}")
                command = getattr(module, "open_" if cmd_name == "open" else cmd_name)
                assert isinstance(command, click.Command)
                return command
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with a did-you-mean."""
        from homeport.knobs import did_you_mean

        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            hint = did_you_mean(args[0], self.list_commands(ctx))
            raise click.UsageError(f"{error.format_message()} {hint}".rstrip(), ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands by group, without importing any."""
        for title, group in COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl([(name, text) for name, (_, text) in group.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: homeport up --detach && homeport train penguins",
)
@click.option("--home", metavar="DIR", help="Where data, logs and secrets are kept (HOMEPORT_HOME).")
@click.option("-q", "--quiet", is_flag=True, help="No progress, only results and errors.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_context
def cli(ctx: click.Context, home: str | None, quiet: bool, debug: bool) -> None:
    """Homeport: self-hosted MLflow with one command."""
    ctx.obj = {"home": home, "quiet": quiet, "debug": debug}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    args = list(sys.argv[1:] if argv is None else argv)
    sys.exit(_run(args))


def _run(args: list[str]) -> int:
    debug = "--debug" in args
    try:
        result: Any = cli.main(args=args, prog_name="homeport", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return ExitCode.USAGE
    except click.ClickException as error:
        _show(_usage(error), args)
        return ExitCode.USAGE
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (`homeport logs | head`): nothing to say, and nobody to say it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except HomeportError as error:
        if debug:
            raise
        _show(error, args)
        return int(error.exit_code)
    except Exception as error:
        if debug:
            raise
        _show(_unexpected(error), args)
        return ExitCode.FAILED
    return result if isinstance(result, int) else ExitCode.OK


def _show(error: HomeportError, args: list[str]) -> None:
    from homeport.cli.output import Output

    own = args[: args.index("--")] if "--" in args else args
    Output(as_json="--json" in own).error(error)


def _usage(error: click.ClickException) -> HomeportError:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "homeport"
    message = error.format_message()
    return HomeportError(
        code="USAGE",
        what=message[:1].lower() + message[1:].rstrip("."),
        fix=f"{command} --help",
        exit_code=ExitCode.USAGE,
    )


def _unexpected(error: Exception) -> HomeportError:
    return HomeportError(
        code="UNEXPECTED",
        what="homeport met an error it has no words for",
        evidence=(("error", f"{type(error).__name__}: {error}"),),
        why="this is a bug in Homeport",
        fix="run it again with: homeport --debug …, and report what it prints",
    )


if __name__ == "__main__":
    main()
