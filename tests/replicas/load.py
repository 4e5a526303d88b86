"""Clients with kept connections that note every answer: writers and readers of `tracking`, askers of `serving`.

Nothing is tried again behind the back of a test: what fails is a failure, and what was acknowledged is looked for.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import requests

from tests.e2e.harness import eventually

_PAUSE = 0.01  # seconds between two requests of one client: two cores carry clients, balancer and servers
_API = "/api/2.0/mlflow"


@dataclass
class Client:
    """What one client did."""

    answered: list[float] = field(default_factory=list)  # when
    failures: list[tuple[float, str]] = field(default_factory=list)  # when it was sent, what came
    slowest: float = 0.0


class Load:
    """Clients that go on until the end of the block.

    Args:
        patience: seconds a client waits for an answer.
    """

    def __init__(self, patience: float = 30.0) -> None:
        self.clients: list[Client] = []
        self._patience = patience
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self.goes_on()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(self._patience + 10)

    def add(self, ask: Callable[[requests.Session], str]) -> None:
        """One more client; `ask` sends one request and returns what was wrong with the answer, empty if nothing."""
        client = Client()
        self.clients.append(client)
        self._threads.append(threading.Thread(target=self._run, args=(client, ask), daemon=True))

    def _run(self, client: Client, ask: Callable[[requests.Session], str]) -> None:
        with requests.Session() as session:
            session.trust_env = False
            while not self._stop.wait(_PAUSE):
                begun = time.monotonic()
                try:
                    wrong = ask(session)
                except requests.RequestException as error:
                    wrong = f"{type(error).__name__}: {error}"
                ended = time.monotonic()
                client.slowest = max(client.slowest, ended - begun)
                if wrong:
                    client.failures.append((begun, wrong))
                else:
                    client.answered.append(ended)

    def goes_on(self, requests_each: int = 10, timeout: float = 60.0) -> float:
        """Wait until every client got so many more answers; when the last one got its first of them."""
        since = [len(client.answered) for client in self.clients]

        def more() -> bool:
            return all(len(c.answered) >= n + requests_each for c, n in zip(self.clients, since, strict=True))

        eventually(more, timeout, f"every client answered {requests_each} times more: {self.failures[-3:]}")
        return max(c.answered[n] for c, n in zip(self.clients, since, strict=True))

    @property
    def failures(self) -> list[tuple[float, str]]:
        """All failures, by the time their requests were sent."""
        return sorted(failure for client in self.clients for failure in client.failures)

    @property
    def slowest(self) -> float:
        """Seconds of the slowest request."""
        return max(client.slowest for client in self.clients)

    @property
    def count(self) -> int:
        """Requests answered well."""
        return sum(len(client.answered) for client in self.clients)


class Writers:
    """Eight clients that log metrics, each into a run of its own, and what was acknowledged."""

    def __init__(self, url: str, load: Load, count: int = 8, auth: tuple[str, str] | None = None) -> None:
        self._url, self._auth, self._patience = url, auth, load._patience
        self._acknowledged: dict[str, list[int]] = {}
        for _ in range(count):
            body = {"experiment_id": "0", "start_time": 1}
            made = requests.post(f"{url}{_API}/runs/create", json=body, auth=auth, timeout=30)
            assert made.ok, made.text
            run = made.json()["run"]["info"]["run_id"]
            self._acknowledged[run] = []
            load.add(self._writer(run))

    @property
    def runs(self) -> Sequence[str]:
        """Their runs."""
        return tuple(self._acknowledged)

    @property
    def acknowledged(self) -> int:
        """How many metrics."""
        return sum(map(len, self._acknowledged.values()))

    def _writer(self, run: str) -> Callable[[requests.Session], str]:
        step = 0

        def write(session: requests.Session) -> str:
            nonlocal step
            body = {"run_id": run, "key": "m", "value": step / 2, "timestamp": 1000 + step, "step": step}
            sent, step = step, step + 1
            answer = session.post(
                f"{self._url}{_API}/runs/log-metric", json=body, auth=self._auth, timeout=self._patience
            )
            if not answer.ok:
                return f"{answer.status_code} {answer.text[:200]}"
            self._acknowledged[run].append(sent)
            return ""

        return write

    def assert_each_is_there_once(self) -> None:
        """Every acknowledged metric is in its run's history, exactly once."""
        for run, steps in self._acknowledged.items():
            found = Counter(self._history(run))
            assert set(steps) <= set(found), f"lost: {sorted(set(steps) - set(found))[:10]}"
            assert set(found.values()) <= {1}, "there twice"

    def _history(self, run: str) -> list[int]:
        steps: list[int] = []
        asked: dict[str, Any] = {"run_id": run, "metric_key": "m", "max_results": 20000}
        while True:
            answer = requests.get(f"{self._url}{_API}/metrics/get-history", params=asked, auth=self._auth, timeout=60)
            assert answer.ok, answer.text
            body = answer.json()
            steps += [int(metric.get("step", 0)) for metric in body.get("metrics", [])]
            if not body.get("next_page_token"):
                return steps
            asked["page_token"] = body["next_page_token"]


def readers(url: str, load: Load, count: int = 3, auth: tuple[str, str] | None = None) -> None:
    """Clients that read: a search that the front answers, and a page that MLflow does."""

    def search(session: requests.Session) -> str:
        body = {"experiment_ids": ["0"], "max_results": 20}
        answer = session.post(f"{url}{_API}/runs/search", json=body, auth=auth, timeout=load._patience)
        return "" if answer.ok and answer.json().get("runs") else f"{answer.status_code} {answer.text[:200]}"

    def passed(session: requests.Session) -> str:
        asked = {"filter": "name LIKE 'nothing%'", "max_results": "5"}
        answer = session.get(f"{url}{_API}/registered-models/search", params=asked, auth=auth, timeout=load._patience)
        return "" if answer.ok else f"{answer.status_code} {answer.text[:200]}"

    for number in range(count):
        load.add(passed if number == 0 else search)


class Askers:
    """Clients that ask a model whose every version answers a number of its own, and who answered."""

    def __init__(
        self, url: str, load: Load, model: str, answers: Mapping[str, float], *, count: int = 4, key: str = ""
    ) -> None:
        self._url, self._model, self._answers, self._patience = url, model, answers, load._patience
        self._headers = {"X-API-Key": key} if key else {}
        self.versions: list[tuple[float, str]] = []  # when it was asked, who answered
        for _ in range(count):
            load.add(self.ask)

    def ask(self, session: requests.Session) -> str:
        """One row; the number must be the one of the version that the header names."""
        body = {"dataframe_split": {"columns": ["x"], "data": [[1.0]]}}
        asked = time.monotonic()
        answer = session.post(
            f"{self._url}/models/{self._model}/invocations", json=body, headers=self._headers, timeout=self._patience
        )
        if not answer.ok:
            return f"{answer.status_code} {answer.text[:200]}"
        version = answer.headers["x-model-version"]
        if answer.json()["predictions"] != [self._answers[version]]:
            return f"version {version} answered {answer.text}"
        self.versions.append((asked, version))
        return ""
