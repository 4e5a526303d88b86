"""A platform's serving API driven as a client drives it, and small models whose answers are known beforehand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import requests

from tests.e2e.harness import Homeport, eventually

# Every request waits this long at most: a test that hangs says nothing.
_PATIENCE = 60.0


@dataclass(frozen=True)
class Answer:
    """An answer as a client sees it."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def version(self) -> str:
        """Who answered."""
        return self.headers["x-model-version"]


class Serving:
    """The serving API of a running platform."""

    def __init__(self, platform: Homeport) -> None:
        self.platform = platform
        self.url = platform.env()["HOMEPORT_SERVING_URL"]

    def get(self, path: str, **headers: str) -> Answer:
        """GET."""
        return _read(requests.get(self.url + path, headers=headers, timeout=_PATIENCE))

    def post(self, path: str, body: object = None, **headers: str) -> Answer:
        """POST of JSON."""
        return _read(requests.post(self.url + path, json=body, headers=headers, timeout=_PATIENCE))

    def predict(self, name: str, rows: Any, **headers: str) -> Answer:
        """Ask a model's default version."""
        return self.post(f"/models/{name}/invocations", {"dataframe_split": rows}, **headers)

    def reload(self) -> Any:
        """`POST /reload`, which must succeed."""
        answer = self.post("/reload")
        assert answer.status == 200, answer.body
        return answer.body

    def models(self) -> dict[str, dict[str, Any]]:
        """What one worker serves: name -> its row of the status."""
        return {row["name"]: row for row in self.get("/status").body["models"]}

    def serves(self, name: str, version: str, timeout: float = 60.0) -> None:
        """Wait until every worker serves a model's version; each looks at the registry by itself."""

        def there() -> bool:
            answer = self.get("/status?workers=true")
            workers = answer.body["each_worker"] if answer.status == 200 else []
            return bool(workers) and all(f"{name}/{version}" in row.get("served", {}) for row in workers)

        eventually(there, timeout, f"{name}/{version} in service")


def _read(response: requests.Response) -> Answer:
    kind = response.headers.get("content-type", "")
    body = response.json() if kind.startswith("application/json") and response.text.strip() else response.text
    return Answer(response.status_code, {name.lower(): value for name, value in response.headers.items()}, body)


class Models:
    """Registers models that answer one number whatever they are asked."""

    def __init__(self, uri: str, directory: Path) -> None:
        from mlflow import MlflowClient

        self._uri = uri
        self._directory = directory
        self.client = MlflowClient(uri, registry_uri=uri)

    def constant(self, name: str, value: float) -> str:
        """Register a version that answers `value` for column `x`; its number."""
        import mlflow
        import numpy as np
        import pandas as pd
        from mlflow.models import infer_signature
        from sklearn.linear_model import LinearRegression

        frame = pd.DataFrame({"x": [0.0, 1.0]})
        model = LinearRegression().fit(frame, [value, value])
        model.coef_ = np.zeros(1)
        model.intercept_ = value
        return self.log(
            name, mlflow.sklearn.log_model, sk_model=model, input_example=frame,
            signature=infer_signature(frame, model.predict(frame)),
        )  # fmt: skip

    def script(self, name: str, source: str, code: Path | None = None) -> str:
        """Register a version made from the source of a `PythonModel` called Model, with `code` shipped beside it."""
        import mlflow
        import pandas as pd
        from mlflow.models import infer_signature

        file = self._directory / f"{name}.py"
        file.write_text(
            "import mlflow\nfrom mlflow.pyfunc import PythonModel\n" + source + "\nmlflow.models.set_model(Model())\n"
        )
        frame = pd.DataFrame({"x": [0.0, 1.0]})
        return self.log(
            name, mlflow.pyfunc.log_model, python_model=str(file), pip_requirements=[],
            signature=infer_signature(frame, frame["x"].to_numpy()), code_paths=[str(code)] if code else None,
        )  # fmt: skip

    def log(self, name: str, log: Any, **arguments: Any) -> str:
        """Register a version by one of MLflow's `log_model` functions; its number."""
        import mlflow

        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(self._uri)
        try:
            with mlflow.start_run():
                logged = log(name="model", registered_model_name=name, **arguments)
        finally:
            mlflow.set_tracking_uri(before)
        return str(logged.registered_model_version)

    def point(self, name: str, alias: str, version: str) -> None:
        """Move an alias."""
        self.client.set_registered_model_alias(name, alias, version)


@dataclass
class Load:
    """What constant load saw: (status, model version in the header, prediction)."""

    answers: list[tuple[int, str, float | None]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@contextmanager
def constant_load(url: str, name: str, clients: int = 4) -> Iterator[Load]:
    """So many clients, each with its own keep-alive connection, asking one row without a pause."""
    seen, stop = Load(), Event()
    body = json.dumps({"dataframe_split": {"columns": ["x"], "data": [[1.0]]}})

    def client() -> None:
        with requests.Session() as session:
            while not stop.is_set():
                try:
                    answer = session.post(
                        f"{url}/models/{name}/invocations", data=body, headers={"content-type": "application/json"},
                        timeout=_PATIENCE,
                    )  # fmt: skip
                except requests.RequestException as error:
                    seen.errors.append(repr(error))
                    continue
                value = answer.json()["predictions"][0] if answer.status_code == 200 else None
                seen.answers.append((answer.status_code, answer.headers.get("x-model-version", ""), value))

    with ThreadPoolExecutor(clients) as pool:
        running = [pool.submit(client) for _ in range(clients)]
        try:
            yield seen
        finally:
            stop.set()
            for each in running:
                each.result()
