"""Somebody who looks at the page: the experiments, the table of runs, one run, the curve of its metric."""

from __future__ import annotations

import random
from typing import Any

from locust import task

from loadtest.ledger import value
from loadtest.users.session import PAGE, PLAN, TEST, Client, total, tracking_headers

# What the page of MLflow 3.17 asks for when its table of runs is opened, and for a curve.
SEARCH = {
    "filter": "", "run_view_type": "ACTIVE_ONLY", "max_results": 100, "order_by": ["attributes.start_time DESC"],
}  # fmt: skip
POINTS = 320


class Reader(Client):
    """Opens the table of runs, then one of them, then its curve."""

    abstract = not PLAN.wants("reader")
    weight = max(1, total("reader"))
    host = PLAN.tracking
    default_headers = tracking_headers()

    @task
    def look(self) -> None:
        """One visit."""
        listed = {"max_results": 25, "order_by": ["last_update_time DESC"], "view_type": "ACTIVE_ONLY"}
        self.call("reader search-experiments", "POST", f"{PAGE}/experiments/search", _has_experiments, listed)
        self.pause()
        asked = {"experiment_ids": [TEST.experiment_id], **SEARCH}
        found = self.call("reader search-runs", "POST", f"{PAGE}/runs/search", _newest_first, asked)
        runs = [run["info"]["run_id"] for run in (found or {}).get("runs", ())]
        if not runs:
            return
        run_id = random.choice(runs)  # noqa: S311 - nothing secret
        self.pause()
        self.call("reader get-run", "GET", f"{PAGE}/runs/get?run_id={run_id}", lambda said: _is(said, run_id))
        self.pause()
        path = f"{PAGE}/metrics/get-history-bulk-interval?run_ids={run_id}&metric_key=loss&max_results={POINTS}"
        self.call("reader get-history", "GET", path, _is_curve)


def _has_experiments(said: Any) -> str | None:
    return None if said["experiments"] else "no experiment, though there is one"


def _newest_first(said: Any) -> str | None:
    infos = [run["info"] for run in said.get("runs", ())]
    if any(info["experiment_id"] != TEST.experiment_id for info in infos):
        return "runs of another experiment"
    times = [int(info["start_time"]) for info in infos]
    return None if times == sorted(times, reverse=True) else "runs in another order"


def _is(said: Any, run_id: str) -> str | None:
    return None if said["run"]["info"]["run_id"] == run_id else "another run"


def _is_curve(said: Any) -> str | None:
    points = said.get("metrics", ())
    return None if all(point["value"] == value(int(point.get("step", 0))) for point in points) else "another value"
