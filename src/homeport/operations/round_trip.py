"""`python -m homeport.operations.round_trip`: a run, an artifact, a model and a prediction through a running platform.

What `helm test` starts: everything is done as a client does it, compared with what was sent, and taken away again.
Works wherever MLFLOW_TRACKING_URI and HOMEPORT_SERVING_URL lead; refuses to know how the platform there is run.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from homeport import program
from homeport.errors import HomeportError
from homeport.serving.follow import references
from homeport.training import connection

_PREFIX = "homeport-round-trip"
_SLOPE, _OFFSET, _ASKED = 2.0, 1.0, 20.5
_EXPECTED = _SLOPE * _ASKED + _OFFSET
_CLOSE = 1e-6
_ROWS = {"dataframe_split": {"columns": ["x"], "data": [[_ASKED]]}}
_TEXT = "as it was written\n"
_PATIENCE, _PAUSE, _ANSWER = 120.0, 0.5, 30.0  # seconds: until it is served, between two looks, for one answer
_OK, _DENIED = 200, (401, 403)  # what is denied once is denied for ever


@dataclass(frozen=True)
class Where:
    """The platform that is travelled through.

    Args:
        tracking_uri: the tracking server; MLflow's client reads the login itself.
        serving_url: the serving API; empty: there is none.
        serving_key: its key; empty where nobody is asked.
        replicas: HOST:PORT of which every address is a replica of the serving API; empty: only `serving_url`.
        alias: the alias that makes serving serve any model; empty: it serves named models only.
        patience: seconds until a model must be served.
    """

    tracking_uri: str
    serving_url: str = ""
    serving_key: str = field(default="", repr=False)
    replicas: str = ""
    alias: str = "champion"
    patience: float = _PATIENCE

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Where:
        """Read it.

        Raises:
            HomeportError: SETTING_MISSING or SETTING_INVALID.
        """
        return cls(
            tracking_uri=program.setting("MLFLOW_TRACKING_URI", None, environ).rstrip("/"),
            serving_url=environ.get("HOMEPORT_SERVING_URL", "").rstrip("/"),
            serving_key=environ.get("HOMEPORT_SERVING_KEY", "").partition(",")[0].strip(),
            replicas=environ.get("HOMEPORT_SERVING_REPLICAS", ""),
            alias=_followed(environ.get("HOMEPORT_SERVE", "") or "*@champion"),
            patience=program.number("HOMEPORT_WAIT_SECONDS", _PATIENCE, environ=environ),
        )


class Trip:
    """One way through the platform; what it makes, it takes away."""

    def __init__(self, where: Where) -> None:
        self.where = where
        self.name = f"{_PREFIX}-{secrets.token_hex(4)}"
        self.undo: list[tuple[str, Callable[[], object]]] = []
        self._run_id = self._version = ""
        self._bases: list[str] = []

    def log(self) -> str:
        """Log a run and read it again."""
        import mlflow

        mlflow.set_tracking_uri(self.where.tracking_uri)
        client = mlflow.MlflowClient()
        experiment = client.create_experiment(self.name)
        self.undo.append(("the experiment", lambda: client.delete_experiment(experiment)))
        self._run_id = client.create_run(experiment).info.run_id
        client.log_param(self._run_id, "slope", _SLOPE)
        client.log_metric(self._run_id, "loss", 0.25, step=1)
        data = client.get_run(self._run_id).data
        _same({"slope": str(_SLOPE)}, dict(data.params))
        _same({"loss": 0.25}, dict(data.metrics))
        return f"run {self._run_id}"

    def keep(self) -> str:
        """Upload an artifact and download it again."""
        import mlflow
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        client = mlflow.MlflowClient()
        place = get_artifact_repository(client.get_run(self._run_id).info.artifact_uri)
        self.undo.append(("the artifact", place.delete_artifacts))
        client.log_text(self._run_id, _TEXT, "note.txt")
        _same(_TEXT, mlflow.artifacts.load_text(f"runs:/{self._run_id}/note.txt"))
        return f"{len(_TEXT)} bytes there and back"

    def register(self) -> str:
        """Log a model and register it."""
        import mlflow
        import numpy as np
        import pandas as pd
        from mlflow.models import infer_signature
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
        from sklearn.linear_model import LinearRegression

        from homeport.training.requirements import pins

        client = mlflow.MlflowClient()
        x = pd.DataFrame({"x": np.linspace(0.0, 1.0, 8)})
        y = _SLOPE * x["x"] + _OFFSET
        with mlflow.start_run(run_id=self._run_id):
            info = mlflow.sklearn.log_model(
                LinearRegression().fit(x, y),
                name="model",
                serialization_format="skops",
                signature=infer_signature(x, y.rename("y")),
                pip_requirements=pins("numpy", "pandas", "scikit-learn", "skops"),
            )
        files = get_artifact_repository(client.get_logged_model(info.model_id).artifact_location)
        self.undo.append(("the model's files", files.delete_artifacts))
        client.create_registered_model(self.name)
        self.undo.append(("the registered model", lambda: client.delete_registered_model(self.name)))
        source = f"models:/{info.model_id}"
        self._version = client.create_model_version(self.name, source, self._run_id, model_id=info.model_id).version
        return f"{self.name} version {self._version}"

    def point(self) -> str:
        """Give the version the alias that serving follows."""
        import mlflow

        alias = self.where.alias
        if not alias:
            return "left out: serving follows named models only (HOMEPORT_SERVE)"
        client = mlflow.MlflowClient()
        client.set_registered_model_alias(self.name, alias, self._version)
        _same(self._version, client.get_model_version_by_alias(self.name, alias).version)
        return f"{self.name}@{alias}"

    def serve(self) -> str:
        """Wait until every replica serves it."""
        if not (self.where.serving_url and self.where.alias):
            return "left out"
        self.undo.append(("the served model", self._unload))
        deadline = time.monotonic() + self.where.patience
        self._bases = [self.where.serving_url, *_until(deadline, self._replicas)]
        for base in self._bases:
            _until(deadline, lambda base=base: self._ask(base))  # type: ignore[misc] # bound now
        return f"by {max(1, len(self._bases) - 1)} replica(s)"

    def predict(self) -> str:
        """Compare the predictions with what the model is known to say."""
        for base in self._bases:
            found = self._ask(base)["predictions"]
            value = found[0]["y"] if isinstance(found[0], dict) else found[0]
            if len(found) != 1 or abs(value - _EXPECTED) > _CLOSE:
                raise ValueError(f"expected {_EXPECTED}, found {found} at {base}")
        return f"{_EXPECTED} as expected" if self._bases else "left out"

    def clean(self) -> list[str]:
        """Take away what was made, the last first; what could not be."""
        left = []
        while self.undo:
            what, deed = self.undo.pop()
            try:
                deed()
            except Exception as error:  # the others are to go all the same
                left.append(f"{what}: {connection.reason(error)}")
        return left

    def _replicas(self) -> list[str]:
        """Every replica's own address; at least one where they have a name."""
        host, _, port = self.where.replicas.rpartition(":")
        if not host:
            return []
        found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
        addresses = sorted({str(row[4][0]) for row in found})
        return [f"http://[{each}]:{port}" if ":" in each else f"http://{each}:{port}" for each in addresses]

    def _ask(self, base: str) -> Any:  # noqa: ANN401 - JSON
        return self._post(f"{base}/models/{self.name}/invocations", _ROWS)

    def _unload(self) -> None:
        """From each replica: one that loses its alias, serving keeps."""
        for base in self._bases[1:] or [self.where.serving_url]:
            self._post(f"{base}/v2/repository/models/{self.name}/unload", {})

    def _post(self, url: str, body: object) -> Any:  # noqa: ANN401 - JSON
        import requests

        key = {"X-API-Key": self.where.serving_key} if self.where.serving_key else {}
        # A connection each: a Service leads every one of them to another replica.
        answer = requests.post(url, json=body, headers={**key, "Connection": "close"}, timeout=_ANSWER)
        if answer.status_code != _OK:
            found = f"POST {url} -> {answer.status_code} {answer.text[:200].strip()}"
            raise LookupError(found) if answer.status_code in _DENIED else ValueError(found)
        return answer.json()


@dataclass(frozen=True)
class Step:
    """One leg of the way.

    Args:
        title: what is done.
        do: does it and says what came of it.
        why: the likely cause of a failure.
        fix: where to look.
    """

    title: str
    do: Callable[[Trip], str]
    why: str
    fix: str


_TRACKING = "the log of tracking says more: homeport logs tracking, or kubectl logs deploy/RELEASE-tracking"
_SERVING = "the log of serving says more: homeport logs serving, or kubectl logs deploy/RELEASE-serving"
STEPS = (
    Step("log a run", Trip.log, "tracking or its database is not well, or the login is not known there", _TRACKING),
    Step(
        "keep an artifact", Trip.keep, "tracking does not reach the artifact store, or may not write there", _TRACKING
    ),
    Step("register a model", Trip.register, "the store or the registry refused it", _TRACKING),
    Step("point an alias", Trip.point, "the registry refused it", _TRACKING),
    Step("have it served", Trip.serve, "serving does not reach tracking, or its key is another", _SERVING),
    Step("predict", Trip.predict, "the model that answered is not the one that was logged", _SERVING),
)


def travel(where: Where, say: Callable[[str], object], steps: Sequence[Step] = STEPS) -> None:
    """Go the whole way, then take away what was made.

    Raises:
        HomeportError: ROUND_TRIP_FAILED with the step, or ROUND_TRIP_LEFT with what is still there.
    """
    trip = Trip(where)
    try:
        for step in steps:
            began = time.monotonic()
            try:
                said = step.do(trip)
            except Exception as error:
                raise _failed(step, error, trip.clean()) from error
            say(f"ok  {step.title:<17} {time.monotonic() - began:6.2f} s  {said}\n")
    finally:
        left = trip.clean()
    if left:
        raise HomeportError(
            code="ROUND_TRIP_LEFT",
            what="all of it worked, but not everything could be taken away again",
            evidence=tuple(("left", each) for each in left),
            why="this account may not delete what it made, or a server went away",
            fix=f"delete what is named {trip.name}; {_TRACKING}",
        )
    say("ok  nothing is left of it\n")


def main() -> None:
    """Go through the platform that the environment names."""
    where = Where.from_environ(os.environ)
    connection.configure_client()
    os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "false")
    travel(where, _write)


def _failed(step: Step, error: Exception, left: list[str]) -> HomeportError:
    return HomeportError(
        code="ROUND_TRIP_FAILED",
        what=f"the round trip failed: {step.title}",
        evidence=(("error", f"{type(error).__name__}: {connection.reason(error)}"),),
        why=step.why,
        fix=step.fix,
        aside=f"left behind: {'; '.join(left)}" if left else "what it had made is gone again",
    )


def _until(deadline: float, look: Callable[[], Any]) -> Any:  # noqa: ANN401 - what `look` finds
    """What `look` finds once it does; its last error when the time is up."""
    while True:
        try:
            return look()
        except (OSError, ValueError):
            if time.monotonic() >= deadline:
                raise
        time.sleep(_PAUSE)


def _same(expected: object, found: object) -> None:
    if found != expected:
        raise ValueError(f"expected {expected!r}, found {found!r}")


def _followed(served: str) -> str:
    """The alias that makes serving serve any model; empty where it serves named ones."""
    try:
        return next((each.alias or "" for each in references.parse(served) if each.every), "")
    except ValueError:  # `none`
        return ""


def _write(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()


if __name__ == "__main__":
    program.run(main)
