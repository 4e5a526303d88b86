"""What the benchmarks share: waiting for a server, its memory, medians with their spread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.error import URLError
from urllib.request import Request, urlopen

import psutil


@dataclass
class Series:
    """Measurements of one thing, in seconds or MB."""

    name: str
    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    def __str__(self) -> str:
        """Median and spread."""
        return f"{self.median:8.1f}   {min(self.values):.1f} to {max(self.values):.1f}"


def pss_mb(roots: list[int]) -> float:
    """PSS of the processes and all below them, in MB."""
    total = 0
    seen: set[int] = set()
    for root in roots:
        process = psutil.Process(root)
        for each in (process, *process.children(recursive=True)):
            if each.pid not in seen:
                seen.add(each.pid)
                total += each.memory_full_info().pss
    return total / 2**20


def answers(url: str, body: bytes | None = None) -> bool:
    """Whether the URL answers 200."""
    request = Request(url, data=body, headers={"content-type": "application/json"})
    try:
        with urlopen(request, timeout=30) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def wait_for(check: Callable[[], bool], timeout: float) -> None:
    """Poll every 20 ms; a benchmark that hangs is stopped."""
    deadline = time.monotonic() + timeout
    while not check():
        if time.monotonic() > deadline:
            raise TimeoutError("a server did not answer")
        time.sleep(0.02)
