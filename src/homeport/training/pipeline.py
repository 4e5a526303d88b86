"""The course of every training run: open, fit, log, register, compare, promote, close.

What is learned, and how it is scored, comes as a `Job` from wine_quality or penguins; this module refuses to know.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import mlflow
from matplotlib.figure import Figure
from mlflow.data.dataset import Dataset
from mlflow.entities import Metric
from mlflow.models.model import ModelInfo

from homeport.training import registry
from homeport.training.options import RunOptions
from homeport.training.outcome import Data, Outcome, run_page
from homeport.training.promotion import Rule, Scores, decide
from homeport.training.tracked_run import TrackedRun

_BATCH = 1000  # metrics; the tracking API's limit for one log-batch request

Say = Callable[[str], None]


@dataclass(frozen=True)
class Fit:
    """What a job has learned.

    Args:
        scores: metrics on the held-out rows.
        curves: for each metric name, its value after round 1, 2, 3, ...; may be empty.
        figures: artifact path to figure.
        log: logs the model in the active run.
    """

    scores: Scores
    curves: Mapping[str, Sequence[float]]
    figures: Mapping[str, Figure]
    log: Callable[[], ModelInfo]


@dataclass(frozen=True)
class Job:
    """One thing to learn.

    Args:
        name: the pipeline, such as ``wine-quality``.
        rule: how two models are compared.
        params: logged as the run's params.
        datasets: context (``training``, ``testing``) to dataset, logged as the run's inputs.
        data: what the summary says about them.
        fit: learns and scores.
        score: loads the model at a ``models:/`` URI and scores it on the held-out rows.
    """

    name: str
    rule: Rule
    params: Mapping[str, object]
    datasets: Mapping[str, Dataset]
    data: Data
    fit: Callable[[], Fit]
    score: Callable[[str], Scores]


def train(job: Job, options: RunOptions, say: Say) -> Outcome:
    """Run a job against the tracking server and decide on the champion.

    The run ends as FINISHED, FAILED on an error, KILLED when interrupted; nothing is registered unless the model is
    logged whole, and the alias moves last.

    Args:
        job: what to learn.
        options: where to record it.
        say: takes one line of progress.

    Raises:
        mlflow.exceptions.MlflowException: the tracking server refused or did not answer.
    """
    started = time.monotonic()
    mlflow.set_tracking_uri(options.uri)
    experiment = mlflow.set_experiment(options.experiment)
    with TrackedRun(experiment.experiment_id) as run:
        mlflow.log_params(dict(job.params))
        for context, dataset in job.datasets.items():
            mlflow.log_input(dataset, context=context)
        say(f"fitting {job.name} on {job.data.train_rows:,} rows")
        fit = job.fit()
        say("logging metrics, plots and the model")
        _log_curves(run.run_id, fit.curves)
        for path, figure in fit.figures.items():
            mlflow.log_figure(figure, path)
        model = fit.log()
        mlflow.log_metrics(dict(fit.scores), model_id=model.model_id, dataset=job.datasets["testing"])

        say(f"comparing with the champion of {options.model}")
        champion = registry.score_champion(options.model, job.score)
        decision = decide(job.rule, fit.scores, champion, force=options.force_promote)
        version = registry.register(options.model, model, run.run_id, job.data.sha256)
        if champion and champion.scores:
            mlflow.log_metrics({f"champion_{name}": champion.scores[name] for name in job.rule.names})
        if decision.promoted:
            registry.promote(options.model, version)

    return Outcome(
        pipeline=job.name,
        run_id=run.run_id,
        run_name=run.name,
        run_url=run_page(options.uri, experiment.experiment_id, run.run_id),
        experiment=experiment.name,
        seconds=time.monotonic() - started,
        data=job.data,
        metrics=dict(fit.scores),
        model=options.model,
        version=version,
        decision=decision,
        champion=champion,
        rule=job.rule,
    )


def _log_curves(run_id: str, curves: Mapping[str, Sequence[float]]) -> None:
    now = int(time.time() * 1000)
    points = [Metric(name, value, now, step) for name, values in curves.items() for step, value in enumerate(values, 1)]
    client = mlflow.MlflowClient()
    for start in range(0, len(points), _BATCH):
        client.log_batch(run_id, metrics=points[start : start + _BATCH])
