"""Writes docs/reference from the code itself: settings, commands, exit codes, the graph. `--check` fails when stale."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from homeport.cli.main import cli
from homeport.errors import ExitCode
from homeport.knobs import Knob
from homeport.model.drawing import mermaid
from homeport.model.service import Target
from homeport.settings import knobs, load
from homeport.stack import build
from tools import generated
from tools.generated import HEAD

ROOT = Path(__file__).resolve().parent.parent

_EXIT_CODES = {
    ExitCode.OK: "It worked. For `status` and `wait`: the platform is ready.",
    ExitCode.FAILED: "It failed; the error block says what, why and the fix.",
    ExitCode.USAGE: "The command line, a setting or an input file is wrong; nothing was started or changed.",
    ExitCode.NOT_READY: "The platform is not running or not ready (`status`, `wait`, and commands that need it).",
    ExitCode.INTERRUPTED: "Stopped by Ctrl-C (SIGINT).",
    ExitCode.TERMINATED: "Stopped by SIGTERM.",
}


def settings_page() -> str:
    """Every setting with its default and help."""
    lines = [
        HEAD,
        "# Settings",
        "",
        "Read in this order, the first that is set wins: flag, environment, `.env`, `homeport.toml` (in the working",
        "directory, then in the home), default. `homeport config show` prints each value and where it came from.",
        "A setting marked *secret* can also be given as a file: `NAME_FILE=/path`.",
        "",
        "| Environment | homeport.toml | Default | What it does |",
        "|---|---|---|---|",
        *(_setting_row(knob) for knob in knobs()),
        "",
        "Any other `MLFLOW_*` variable that is not a client's (`MLFLOW_TRACKING_*`, `MLFLOW_RUN_*`, …) reaches the",
        "tracking server as it is. An unknown `HOMEPORT_*` variable is warned about.",
    ]
    return "\n".join(lines) + "\n"


def _setting_row(knob: Knob) -> str:
    default = f"`{knob.default_shown}`" if knob.default_shown else ""
    if knob.is_secret and not knob.holds_secret:
        default = "generated" if "generated" in knob.help else ""
    marked = " *secret*" if knob.is_secret else ""
    return f"| `{knob.env}`{marked} | `{knob.name}` | {default} | {knob.help} |"


def commands_page() -> str:
    """The help of every command, as it prints itself."""
    lines = [HEAD, "# Commands", "", "Results go to stdout, progress and errors to stderr.", ""]
    for name, command in _commands(cli, "homeport"):
        context = click.Context(command, info_name=name, max_content_width=100, terminal_width=100)
        lines += [f"## {name}", "", "```text", command.get_help(context).rstrip(), "```", ""]
    return "\n".join(lines)


def _commands(group: click.Group, prefix: str) -> Iterator[tuple[str, click.Command]]:
    yield prefix, group
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from _commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", command


def exit_codes_page() -> str:
    """Every exit code and what it means."""
    rows = [f"| {int(code)} | {code.name} | {_EXIT_CODES[code]} |" for code in ExitCode]
    tail = [
        "",
        "`homeport run -- CMD` and `homeport train` pass the program's own exit code through; 126 and 127 mean, as in",
        "shells, that the program cannot be executed or was not found.",
    ]
    return "\n".join([HEAD, "# Exit codes", "", "| Code | Name | Meaning |", "|---|---|---|", *rows, *tail]) + "\n"


def graph_page() -> str:
    """The default graph as a drawing, on each target."""
    lines = [HEAD, "# The services and their order"]
    titles = {Target.EMBEDDED: "As plain processes", Target.CONTAINERS: "In containers"}
    for target, title in titles.items():
        drawing = mermaid(build(load({}, environ={}, directory=ROOT / "docs"), target=target))
        lines += ["", f"## {title}", "", "```mermaid", drawing, "```"]
    return "\n".join(lines) + "\n"


PAGES = {
    "settings.md": settings_page,
    "commands.md": commands_page,
    "exit-codes.md": exit_codes_page,
    "graph.md": graph_page,
}


if __name__ == "__main__":
    sys.exit(generated.main(PAGES, ROOT / "docs" / "reference", __doc__))
