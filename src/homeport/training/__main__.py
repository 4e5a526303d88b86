"""The program ``python -m homeport.training``, which ``homeport train`` runs with the platform's environment.

It parses, refuses early, prints and exits. Imports that take seconds come last, when there is something to train on.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import click

from homeport.errors import ExitCode, HomeportError
from homeport.training.connection import configure_client, probe, reason, refused, tracking_uri
from homeport.training.data import read_wine_table
from homeport.training.download import WINE_URL, fetch_wine_quality
from homeport.training.feedback import read_fresh, serving_url
from homeport.training.options import PenguinOptions, RunOptions, WineOptions
from homeport.training.signals import Terminated, raise_on_signals

if TYPE_CHECKING:
    from homeport.training.pipeline import Job

_WINE, _PENGUINS = WineOptions(), PenguinOptions()

Action = Callable[[], None]


@dataclass(frozen=True)
class _Fresh:
    """That rows from feedback are wanted, and since when; empty: all."""

    since: str


class _Choices(TypedDict):
    """The options that every pipeline has."""

    experiment: str
    model: str
    force_promote: bool
    as_json: bool
    debug: bool


def main(arguments: list[str] | None = None) -> int:
    """Run the program and return its exit code; a refusal or a failure is one block on stderr, or one JSON object."""
    arguments = sys.argv[1:] if arguments is None else arguments
    as_json = "--json" in arguments
    raise_on_signals()
    try:
        # A command returns what to do and click is left before it is done: click turns Ctrl-C into its own Abort.
        action = cli.main(arguments, prog_name="homeport train", standalone_mode=False)
        if callable(action):
            action()
    except click.UsageError as error:
        return _print(_usage(error), as_json=as_json)
    except HomeportError as error:
        return _print(error, as_json=as_json)
    except KeyboardInterrupt:
        click.echo("interrupted: an open run is marked as killed, and no alias was moved", err=True)
        return ExitCode.INTERRUPTED
    except Terminated:
        click.echo("terminated: an open run is marked as killed, and no alias was moved", err=True)
        return ExitCode.TERMINATED
    return ExitCode.OK


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=False,
    epilog="Examples: homeport train penguins · homeport train wine-quality --json",
)
def cli() -> None:
    """Train one of the reference pipelines on the platform that MLFLOW_TRACKING_URI names."""


def _with_choices(pipeline: str) -> Callable[[Callable[..., Action]], Callable[..., Action]]:
    name: dict[str, Any] = {"default": pipeline, "show_default": True, "metavar": "NAME"}
    options = (
        click.option("--experiment", **name, help="Experiment that gets the run."),
        click.option("--model", **name, help="Registered model that gets the version."),
        click.option("--force-promote", is_flag=True, help="Make it champion whatever the comparison says."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the summary."),
        click.option("--debug", is_flag=True, help="Keep the traceback of a failure."),
    )

    def add(command: Callable[..., Action]) -> Callable[..., Action]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def _finite(_context: click.Context, _parameter: click.Parameter, value: float) -> float:
    if not math.isfinite(value):
        raise click.BadParameter("must be a finite number")
    return value


def _iso_time(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str:
    if not value:
        return ""
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter("must be a time like 2026-01-31T12:00:00Z, or a date") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).isoformat()


@cli.command("wine-quality", epilog="Example: homeport train wine-quality --data wine.csv --max-depth 10")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="CSV file, separated by , or ;. Without it the published file is downloaded once and kept in HOMEPORT_CACHE.",
)
@click.option(
    "--max-depth", type=click.IntRange(1, 64), default=_WINE.max_depth, show_default=True, help="Levels of a tree."
)
@click.option(
    "--min-child-weight",
    type=click.FloatRange(min=0),
    callback=_finite,
    default=_WINE.min_child_weight,
    show_default=True,
    help="Least number of rows in a leaf.",
)
@click.option(
    "--n-estimators",
    type=click.IntRange(1, 100_000),
    default=_WINE.n_estimators,
    show_default=True,
    help="Trees, one a boosting round.",
)
@click.option(
    "--from-feedback",
    is_flag=True,
    help="Learn from the predictions of this model that feedback was sent for, too. Needs HOMEPORT_PREDICTION_LOG.",
)
@click.option(
    "--since",
    callback=_iso_time,
    metavar="TIME",
    help="With --from-feedback: only what was predicted at this ISO time or later.",
)
@_with_choices("wine-quality")
def wine_quality(
    data: Path | None,
    max_depth: int,
    min_child_weight: float,
    n_estimators: int,
    *,
    from_feedback: bool,
    since: str,
    **choices: Unpack[_Choices],
) -> Action:
    """Learn a white wine's quality from eleven measurements (XGBoost regression).

    The model becomes champion when its RMSE on the held-out 20 % is lower than the present champion's.
    """
    if since and not from_feedback:
        raise click.UsageError("--since goes with --from-feedback")
    options = WineOptions(max_depth, min_child_weight, n_estimators)
    fresh = _Fresh(since) if from_feedback else None
    return lambda: _in_plain_words(lambda: _train_wine_quality(data, options, choices, fresh), choices)


@cli.command("penguins", epilog="Example: homeport train penguins")
@click.option(
    "--c",
    type=click.FloatRange(min=0, min_open=True),
    callback=_finite,
    default=_PENGUINS.c,
    show_default=True,
    help="Inverse strength of the regularisation.",
)
@_with_choices("penguins")
def penguins(c: float, **choices: Unpack[_Choices]) -> Action:
    """Learn a penguin's species from its island, sex and measurements (logistic regression); needs no download.

    The model becomes champion when its accuracy on the held-out 20 % is higher than the present champion's, or equal
    with a lower log-loss.
    """
    return lambda: _in_plain_words(lambda: _train_penguins(PenguinOptions(c), choices), choices)


def _train_wine_quality(data: Path | None, options: WineOptions, choices: _Choices, fresh: _Fresh | None) -> None:
    # A bad file is refused before the server is asked, and an absent server is reported before anything is downloaded.
    table = read_wine_table(data) if data else None
    uri = tracking_uri()
    serving = serving_url() if fresh else ""
    probe(uri)
    rows = read_fresh(serving, choices["model"], fresh.since) if fresh else None
    table = table or read_wine_table(fetch_wine_quality())
    _say(f"read {len(table.values):,} rows from {table.path}")
    if table.ignored:
        _say(f"columns that are not used: {', '.join(table.ignored)}")
    if rows:
        _say(f"read {len(rows.values):,} labelled rows from {rows.url}")
    _load_client()

    from homeport.training import wine_quality as pipeline

    _train(lambda: pipeline.job(table, options, "" if data else WINE_URL, rows), uri, choices)


def _train_penguins(options: PenguinOptions, choices: _Choices) -> None:
    uri = tracking_uri()
    probe(uri)
    _load_client()

    from homeport.training import penguins as pipeline

    _train(lambda: pipeline.job(pipeline.data_file(), options), uri, choices)


def _train(make_job: Callable[[], Job], uri: str, choices: _Choices) -> None:
    from homeport.training.pipeline import train

    options = RunOptions(uri, choices["experiment"], choices["model"], force_promote=choices["force_promote"])
    outcome = train(make_job(), options, _say)
    click.echo(json.dumps(outcome.as_dict()) if choices["as_json"] else outcome.summary())


def _in_plain_words(action: Action, choices: _Choices) -> None:
    try:
        action()
    except HomeportError:
        raise
    except Exception as error:
        if choices["debug"]:
            raise
        from mlflow.exceptions import MlflowException

        raise (refused(error) if isinstance(error, MlflowException) else _failed(error)) from error


def _load_client() -> None:
    configure_client()
    _say("loading MLflow")


def _failed(error: Exception) -> HomeportError:
    return HomeportError(
        "TRAINING_FAILED",
        "the training run failed",
        evidence=(("error", f"{type(error).__name__}: {reason(error)}"),),
        fix="run it again with --debug to see where",
        aside="an open run is marked as failed, and no alias was moved",
    )


def _usage(error: click.UsageError) -> HomeportError:
    command = error.ctx.command_path if error.ctx else "homeport train"
    return HomeportError("USAGE", error.format_message(), fix=f"{command} --help", exit_code=ExitCode.USAGE)


def _print(error: HomeportError, *, as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps({"error": error.as_dict()}))
        return error.exit_code
    fancy = (sys.stderr.encoding or "").lower().startswith("utf")
    plain = "NO_COLOR" in os.environ
    mark, (what, _, rest) = "✗" if fancy else "x", error.block().partition("\n")
    head = f"{mark} {what}" if plain else f"{click.style(mark, fg='red')} {click.style(what, bold=True)}"
    click.echo(f"{head}\n{rest}", err=True)  # click leaves the colours out where there is no terminal
    return error.exit_code


def _say(line: str) -> None:
    click.echo(line, err=True)


if __name__ == "__main__":
    sys.exit(main())
