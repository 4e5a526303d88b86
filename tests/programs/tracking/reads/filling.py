"""Fills a database through MLflow's own store: runs with metrics, params, tags, datasets and models, and a registry."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import Any

KEYS = ["a", "b", "with space", "ünï/cødé", "c.d-e"]
WORDS = ["x", "y", "X", "50%", "a_b", "a'b", "ä", "", "10", "9"]
NUMBERS = [
    0.0, -0.0, 1.0, -1.0, 0.1, 1e15, 1e16, 123456789012345.0, 1e-7, 5e-324, 1.7976931348623157e308, 2**53 + 0.0,
    math.nan, math.inf, -math.inf, 100.0, 2.5,
]  # fmt: skip
STATES = ["RUNNING", "FINISHED", "FAILED", "KILLED", "SCHEDULED"]
START = 1_700_000_000_000


@dataclass
class Filled:
    """What was put in.

    Args:
        experiments: ids of experiments; the last is deleted.
        runs: ids of runs.
        history: a run with long histories: `loss` of 3000 points, `flat` all at one step, `odd` with odd numbers.
    """

    experiments: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    history: str = ""


def fill(store: Any, registry: Any) -> Filled:
    """Fill it, always with the same."""
    from mlflow.entities import ExperimentTag, RunStatus

    dice = random.Random(5)
    filled = Filled()
    for number in range(4):
        tags = [ExperimentTag("kind", WORDS[number]), ExperimentTag("ünï", "")][: number % 3]
        filled.experiments.append(store.create_experiment(f"experiment {number} ä%", f"file:///there/{number}", tags))
    for number in range(70):
        run = _run(store, dice, dice.choice(filled.experiments[:3]), number)
        filled.runs.append(run)
        if number % 4:
            state = RunStatus.from_string(dice.choice(STATES))
            end = START + dice.randrange(1000) if number % 3 else None
            store.update_run_info(run, state, end, dice.choice([None, f"renamed {number}"]))
        if number % 9 == 0:
            store.delete_run(run)
    store.delete_experiment(filled.experiments[-1])
    filled.history = filled.runs[1]
    _history(store, dice, filled.history)
    _registry(registry, filled.runs)
    return filled


def _run(store: Any, dice: random.Random, experiment: str, number: int) -> str:
    from mlflow.entities import (
        Dataset,
        DatasetInput,
        InputTag,
        LoggedModelInput,
        LoggedModelOutput,
        Metric,
        Param,
        RunTag,
    )  # fmt: skip

    # Equal start times, so that the id decides the order.
    tags = [RunTag(key, dice.choice(WORDS)) for key in dice.sample(KEYS, dice.randrange(4))]
    run: str = store.create_run(
        experiment, dice.choice(["", "me", "ä"]), START + dice.randrange(20), tags, dice.choice([None, "x", "A name"])
    ).info.run_id
    metrics = [Metric(key, dice.choice(NUMBERS), START, dice.randrange(3)) for key in dice.sample(KEYS, 3)]
    params = [Param(key, dice.choice(WORDS)) for key in dice.sample(KEYS, dice.randrange(4))]
    store.log_batch(run, metrics, params, [])
    if number % 3 == 0:
        inputs = [
            DatasetInput(
                Dataset(name, dice.choice("12"), "kind", "source", dice.choice(["", None, "{}"]), None),
                [InputTag("mlflow.data.context", dice.choice(["train", "eval"])), InputTag("other", "ä")][: index + 1],
            )
            for index, name in enumerate(dice.sample(["one", "two", "three"], 2))
        ]
        store.log_inputs(run, inputs, [LoggedModelInput(f"m-{number}")] if number % 2 else [])
    if number % 7 == 0:
        store.log_outputs(run, [LoggedModelOutput(f"m-{number}-{step}", step) for step in range(2)])
    return run


def _history(store: Any, dice: random.Random, run: str) -> None:
    from mlflow.entities import Metric

    points = [Metric("loss", dice.random(), START + dice.randrange(500), step - 50) for step in range(3000)]
    points += [Metric("flat", float(step % 10), START + step // 10, 0) for step in range(500)]
    points += [Metric("odd", number, START + step % 2, 0) for step, number in enumerate(NUMBERS)]
    for start in range(0, len(points), 1000):
        store.log_batch(run, points[start : start + 1000], [], [])


def _registry(registry: Any, runs: list[str]) -> None:
    from mlflow.entities.model_registry import ModelVersionTag, RegisteredModelTag

    registry.create_registered_model("plain")
    registry.create_registered_model("Mödel 1", [RegisteredModelTag("a", "b")], "described")
    registry.create_model_version("plain", "s3://bucket/model", runs[0])
    registry.create_model_version(
        "Mödel 1",
        "mlflow-artifacts:/1",
        runs[1],
        [ModelVersionTag("a", ""), ModelVersionTag("ä", "b")],
        "http://x",
        "d",
    )
    registry.create_model_version("Mödel 1", "s3://bucket/other")
    registry.create_model_version("Mödel 1", "file:///gone")
    registry.transition_model_version_stage("Mödel 1", 2, "Production", False)
    for alias, version in (("champion", 1), ("Challenger-2", 1), ("newest", 2), ("gone", 3)):
        registry.set_registered_model_alias("Mödel 1", alias, version)
    registry.delete_model_version("Mödel 1", 3)
