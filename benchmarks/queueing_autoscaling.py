"""A HorizontalPodAutoscaler on model servers when the load steps up: replicas, waiting and refusals over time.

Time goes in ticks of 10 ms: arrivals are drawn (Poisson), each ready replica works off its share, what does not fit its
queue is refused (429). The controller is the algorithm of Kubernetes' documentation with the chart's behaviour. Refuses
to know what a request is beyond its service time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Controller:
    """What the chart and the cluster say.

    Args:
        target: utilisation of the CPU request that is aimed at.
        request: cores that a replica requests.
        sync: seconds between two looks.
        window: seconds that the metrics are the mean of; they are as old when they are looked at.
        start: seconds from the decision to a ready replica: scheduling, start, model loaded; the image is there.
        least: replicas.
        most: replicas.
        tolerance: of the ratio within which nothing is done.
        patience: seconds for which the highest recommendation is kept before fewer replicas are taken.
    """

    target: float = 0.7
    request: float = 0.5
    sync: float = 15.0
    window: float = 15.0
    start: float = 12.0
    least: int = 2
    most: int = 20
    tolerance: float = 0.1
    patience: float = 300.0

    def wanted(self, ready: int, used: float) -> int:
        """Replicas for so many cores in use: ceil(ready × utilisation / target), as the documentation has it."""
        ratio = used / (ready * self.request) / self.target
        if abs(ratio - 1) <= self.tolerance:
            return ready
        return min(self.most, max(self.least, math.ceil(ready * ratio)))

    def step_up(self, now: int) -> int:
        """The most that one period of 15 s may bring: twice as many, or four more."""
        return max(2 * now, now + 4)


@dataclass(frozen=True)
class Course:
    """What happened, second by second.

    Args:
        rate: requests that came.
        ready: replicas.
        refused: requests.
        p99: milliseconds of those accepted.
        busy: utilisation of the ready replicas' cores.
    """

    rate: np.ndarray
    ready: np.ndarray
    refused: np.ndarray
    p99: np.ndarray
    busy: np.ndarray


TICK = 0.01


def simulate(
    rate: Callable[[float], float], seconds: int, service: float, controller: Controller, *, queue: int = 64,
    seed: int = 20_260_101,
) -> Course:  # fmt: skip
    """Let the load come: `rate(t)` requests a second, `service` seconds of one core each."""
    chance = np.random.default_rng(seed)
    ticks = int(1 / TICK)
    ready, starting = controller.least, list[float]()
    backlog = np.zeros(controller.most)
    used: list[float] = []
    wished: list[tuple[float, int]] = []
    columns: dict[str, list[float]] = {name: [] for name in ("rate", "ready", "refused", "p99", "busy")}
    for second in range(seconds):
        came = refused = worked = 0.0
        waits: list[float] = []
        for tick in range(ticks):
            now = second + tick * TICK
            ready += sum(due <= now for due in starting)
            starting = [due for due in starting if due > now]
            arrived = chance.poisson(rate(now) * TICK / ready, ready)
            there = backlog[:ready] + arrived
            # A queue holds what is worked off in this tick and `queue` requests more.
            accepted = np.minimum(there, TICK / service + queue)
            waits.extend(accepted * service)
            left = np.maximum(0.0, accepted - TICK / service)
            came += arrived.sum()
            refused += (there - accepted).sum()
            worked += (accepted - left).sum() * service
            backlog[:ready] = left
        used.append(worked)
        told = {"rate": came, "ready": ready, "refused": refused, "busy": worked / ready}
        for name, value in {**told, "p99": float(np.quantile(waits, 0.99) + service) * 1000}.items():
            columns[name].append(float(value))
        if (second + 1) % controller.sync == 0:
            mean = float(np.mean(used[-int(controller.window) :]))
            ready, more = _decide(controller, second + 1.0, ready, len(starting), used=mean, wished=wished)
            starting += [second + 1.0 + controller.start] * more
            backlog[ready:] = 0.0
    return Course(**{name: np.array(values) for name, values in columns.items()})


def _decide(
    controller: Controller, now: float, ready: int, coming: int, *, used: float, wished: list[tuple[float, int]]
) -> tuple[int, int]:
    """Replicas from now on, and how many more are started."""
    wish = controller.wanted(ready, used)
    wished.append((now, wish))
    there = ready + coming
    if wish > there:
        return ready, min(wish, controller.step_up(there), controller.most) - there
    kept = max(each for at, each in wished if at > now - controller.patience)
    # Down by one a minute at most, and never while some are still starting.
    return (ready - 1 if kept < ready and not coming and now % 60 == 0 else ready), 0
