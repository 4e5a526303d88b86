"""How many replicas there were during the test: from kubectl, from Prometheus, or from a file.

An error there is told and never ends the test.
"""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

COMPONENTS = ("tracking", "serving")
# What the chart's ServiceMonitor lets Prometheus know: targets that answer, by Service.
QUERY = 'sum by (service) (up{service=~".*(tracking|serving)"})'
_EVERY = 2.0  # seconds between two looks by kubectl
_PATIENCE = 30.0


@dataclass(frozen=True)
class Sample:
    """So many replicas were ready then."""

    at: float
    component: str
    ready: int


@contextmanager
def watched(namespace: str | None) -> Iterator[list[Sample]]:
    """Deployments of the namespace, every two seconds while the test runs; None: not watched."""
    found: list[Sample] = []
    if namespace is None:
        yield found
        return
    over = threading.Event()
    thread = threading.Thread(target=_watch, args=(kubectl(namespace), found, over), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join(_PATIENCE)


def kubectl(namespace: str) -> list[str]:
    """The command that lists Homeport's Deployments; an empty namespace is kubectl's own."""
    where = ["--namespace", namespace] if namespace else []
    return [
        "kubectl",
        *where,
        "get",
        "deployments",
        "--selector",
        "app.kubernetes.io/name=homeport",
        "--output",
        "json",
    ]


def of_deployments(listed: Any, at: float) -> list[Sample]:
    """The ready replicas in what kubectl answered."""
    found = []
    for each in listed["items"]:
        component = each["metadata"].get("labels", {}).get("app.kubernetes.io/component", "")
        if component in COMPONENTS:
            found.append(Sample(at, component, int(each.get("status", {}).get("readyReplicas", 0))))
    return found


def prometheus(url: str, begin: float, end: float) -> list[Sample]:
    """What Prometheus saw meanwhile, every five seconds."""
    asked = {"query": QUERY, "start": str(begin), "end": str(end), "step": "5"}
    answer = requests.get(f"{url.rstrip('/')}/api/v1/query_range", params=asked, timeout=_PATIENCE)
    answer.raise_for_status()
    found = []
    for series in answer.json()["data"]["result"]:
        name = series["metric"].get("service", "")
        component = next((each for each in COMPONENTS if name.endswith(each)), None)
        if component:
            found += [Sample(float(at), component, int(float(ready))) for at, ready in series["values"]]
    return found


def from_file(file: Path) -> list[Sample]:
    """A CSV file with the columns at, component, ready."""
    with file.open(newline="", encoding="utf-8") as lines:
        return [Sample(float(row["at"]), row["component"], int(row["ready"])) for row in csv.DictReader(lines)]


def told(what: str, ask: Callable[[], Sequence[Sample]]) -> list[Sample]:
    """The samples, or none and why on stderr."""
    try:
        return list(ask())
    except (OSError, ValueError, KeyError, requests.RequestException) as error:
        print(f"replicas are not in the report: {what}: {error}", file=sys.stderr)
        return []


def _watch(command: list[str], found: list[Sample], over: threading.Event) -> None:
    if shutil.which(command[0]) is None:
        print("replicas are not in the report: there is no kubectl on PATH", file=sys.stderr)
        return
    said = False
    while not over.wait(_EVERY if found or said else 0):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_PATIENCE)
            found.extend(of_deployments(json.loads(done.stdout), time.time()))
        except (subprocess.SubprocessError, OSError, ValueError, KeyError) as error:
            if not said:
                why = getattr(error, "stderr", None) or str(error)
                print(f"replicas are missing in the report: {why.strip()}", file=sys.stderr)
            said = True
