"""A training that logs: one run after the other, as MLflow's client writes them."""

from __future__ import annotations

import time
import uuid
from typing import Any

from locust import task

from loadtest.ledger import Written, value
from loadtest.users.session import API, LEDGER, PLAN, TEST, Client, nothing, total, tracking_headers

STEPS = 30  # single metrics of a run
BATCHES = 2  # batches of a run, each of two metrics with fifty steps
BATCH_KEYS, BATCH_STEPS = ("accuracy", "val_loss"), 50
PARAMS = {"learning_rate": "0.1", "max_depth": "6", "n_estimators": "100", "seed": "7"}


class Writer(Client):
    """Creates runs and logs params, tags, metrics one by one and in batches; then reads what it wrote."""

    abstract = not PLAN.wants("writer")
    weight = max(1, total("writer"))
    host = PLAN.tracking
    default_headers = tracking_headers()

    @task
    def train(self) -> None:
        """One run from its beginning to its end; shorter when the test ends."""
        made = self.call("writer create-run", "POST", f"{API}/runs/create", _has_run, {
            "experiment_id": TEST.experiment_id, "run_name": f"load {uuid.uuid4().hex[:8]}", "start_time": _now(),
            "tags": [{"key": "mlflow.user", "value": "loadtest"}, {"key": "mlflow.source.name", "value": "loadtest"}],
        })  # fmt: skip
        if made is None:
            return
        run_id = made["run"]["info"]["run_id"]
        self.pause()
        described = self.call("writer log-params", "POST", f"{API}/runs/log-batch", nothing, {
            "run_id": run_id, "params": [{"key": key, "value": text} for key, text in PARAMS.items()],
            "tags": [{"key": "stage", "value": "load"}],
        })  # fmt: skip
        loss = LEDGER.open(run_id, "loss")
        batched = [LEDGER.open(run_id, key) for key in BATCH_KEYS]
        for number in range(STEPS):
            if self.over:
                break
            self.pause()
            self._step(loss)
            if number % (STEPS // BATCHES) == 0:
                self.pause()
                self._batch(batched)
        self.pause()
        tagged = self.call(
            "writer set-tag", "POST", f"{API}/runs/set-tag", nothing, {"run_id": run_id, "key": "done", "value": "yes"}
        )
        ended = self.call(
            "writer update-run", "POST", f"{API}/runs/update", nothing,
            {"run_id": run_id, "status": "FINISHED", "end_time": _now()},
        )  # fmt: skip
        expected = _Expected(run_id, described is not None, tagged is not None, ended is not None, loss)
        self.call("writer read-back", "GET", f"{API}/runs/get?run_id={run_id}", expected.wrong)

    def _step(self, loss: Written) -> None:
        step = loss.steps
        # Unsure until it is acknowledged: this user may be ended in the middle of the request.
        loss.unsure.add(step)
        loss.steps += 1
        told = {"run_id": loss.run_id, "key": "loss", "value": value(step), "timestamp": _now(), "step": step}
        if self.call("writer log-metric", "POST", f"{API}/runs/log-metric", nothing, told) is not None:
            loss.unsure.remove(step)

    def _batch(self, batched: list[Written]) -> None:
        first = batched[0].steps
        steps = range(first, first + BATCH_STEPS)
        now, metrics = _now(), []
        for each in batched:
            each.unsure.update(steps)
            each.steps += BATCH_STEPS
            metrics += [{"key": each.key, "value": value(step), "timestamp": now, "step": step} for step in steps]
        told = {"run_id": batched[0].run_id, "metrics": metrics}
        if self.call("writer log-batch", "POST", f"{API}/runs/log-batch", nothing, told) is not None:
            for each in batched:
                each.unsure.difference_update(steps)


class _Expected:
    """What a run must look like once every call for it was acknowledged."""

    def __init__(self, run_id: str, described: bool, tagged: bool, ended: bool, loss: Written) -> None:
        self._run_id, self._described, self._tagged, self._ended, self._loss = run_id, described, tagged, ended, loss

    def wrong(self, said: Any) -> str | None:
        """What differs."""
        run = said["run"]
        data = run["data"]
        params = {each["key"]: each["value"] for each in data.get("params", ())}
        tags = {each["key"]: each["value"] for each in data.get("tags", ())}
        metrics = {each["key"]: each["value"] for each in data.get("metrics", ())}
        if run["info"]["run_id"] != self._run_id:
            return "another run"
        if self._described and params != PARAMS:
            return "acknowledged params are missing"
        if self._tagged and tags.get("done") != "yes":
            return "an acknowledged tag is missing"
        if self._ended and run["info"]["status"] != "FINISHED":
            return "an acknowledged end is missing"
        sure = self._loss.steps and not self._loss.unsure
        return (
            "the latest metric is not the last one" if sure and metrics["loss"] != value(self._loss.steps - 1) else None
        )


def _has_run(said: Any) -> str | None:
    return None if said["run"]["info"]["experiment_id"] == TEST.experiment_id else "a run in another experiment"


def _now() -> int:
    return int(time.time() * 1000)
