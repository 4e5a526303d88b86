"""The platform as the load test asks it outside the load: the experiment, the histories, what is served.

Plain requests with a few retries, none of them measured.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from homeport.errors import HomeportError
from loadtest.ledger import Verdict, Written
from loadtest.plan import Plan

API = "/api/2.0/mlflow"
_PATIENCE = 60.0  # seconds a request
_LOOK = 0.5  # seconds between two looks at what is served
_MANY = 8  # histories at once
_MOST = 25_000  # points of a history, MLflow's own limit


class Platform:
    """A platform that is there and lets us in."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._session = requests.Session()
        self._session.auth = plan.login
        self._session.verify = plan.certificate or True
        retries = requests.adapters.Retry(total=5, backoff_factor=0.2, status_forcelist=(502, 503, 504))
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=_MANY, max_retries=retries))

    def experiment(self) -> str:
        """The id of the plan's experiment, which is made if it is not there."""
        there = self._ask("GET", "experiments/get-by-name", params={"experiment_name": self._plan.experiment})
        if there.status_code == 404:
            made = self._ask("POST", "experiments/create", json={"name": self._plan.experiment})
            if made.ok:
                return str(made.json()["experiment_id"])
            there = self._ask("GET", "experiments/get-by-name", params={"experiment_name": self._plan.experiment})
        return str(_good(there)["experiment"]["experiment_id"])

    def delete(self, experiment_id: str) -> None:
        """Delete the experiment with all its runs, as MLflow deletes: until `mlflow gc` they can be restored."""
        _good(self._ask("POST", "experiments/delete", json={"experiment_id": experiment_id}))

    def verify(self, written: Sequence[Written]) -> Verdict:
        """Compare every metric that was written with its history."""
        verdict = Verdict()
        with ThreadPoolExecutor(_MANY) as pool:
            for each, history in zip(written, pool.map(self._history, written), strict=True):
                verdict.compare(each, history)
        return verdict

    def askable(self, name: str, patience: float) -> dict[str, Mapping[str, Any]]:
        """The served models that have an input example, once `name` (empty: any) is among them or patience ends."""
        deadline = time.monotonic() + patience
        while True:
            found = {each: model for each, model in self.models().items() if model.get("example")}
            if name in found or (found and not name) or time.monotonic() > deadline:
                return found
            time.sleep(_LOOK)

    def models(self) -> dict[str, Mapping[str, Any]]:
        """What every worker of the replica that answers serves, by name; each worker follows the registry by itself."""
        headers = {"X-API-Key": self._plan.key} if self._plan.key else {}
        url = f"{self._plan.serving}/status?workers=true"
        told = _good(self._session.get(url, headers=headers, timeout=_PATIENCE, auth=_nobody))
        workers = [row.get("served", {}) for row in told.get("each_worker", [])]
        return {
            model["name"]: model
            for model in told["models"]
            if all(f"{model['name']}/{model['version']}" in served for served in workers)
        }

    def _history(self, written: Written) -> list[Mapping[str, Any]] | None:
        asked = {"run_id": written.run_id, "metric_key": written.key, "max_results": str(_MOST)}
        try:
            answer = self._ask("GET", "metrics/get-history", params=asked)
            return list(answer.json().get("metrics", ())) if answer.ok else None
        except (requests.RequestException, HomeportError):
            return None

    def _ask(self, method: str, path: str, **what: Any) -> requests.Response:
        try:
            return self._session.request(method, f"{self._plan.tracking}{API}/{path}", timeout=_PATIENCE, **what)
        except requests.RequestException as error:
            raise HomeportError(
                code="LOADTEST_UNREACHABLE",
                what=f"{self._plan.tracking} cannot be reached",
                evidence=(("error", str(error)),),
                fix="homeport status",
            ) from error


def _nobody(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """The serving API knows keys, not MLflow's users; nor may ~/.netrc speak up."""
    return request


def _good(answer: requests.Response) -> Any:
    if not answer.ok:
        logins = answer.status_code in {401, 403}
        raise HomeportError(
            code="LOADTEST_REFUSED",
            what=f"{answer.request.method} {answer.url} answered {answer.status_code}",
            evidence=(("answer", answer.text[:300]),),
            fix="start it as `homeport run -- python -m loadtest`, which logs in" if logins else "homeport status",
        )
    return answer.json()
