"""A real tracking server for all tests here, models made in a moment, and a wire to the server that can be cut."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.programs.serving.follow.shelf import Register, Saved, Shelf
from tests.programs.serving.follow.wire import Wire

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from homeport.platform import Platform

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def client(homeport_platform: Platform) -> MlflowClient:
    """MLflow's own client of the tracking server."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=homeport_platform.tracking_uri, registry_uri=homeport_platform.tracking_uri)


@pytest.fixture
def wire(homeport_platform: Platform) -> Iterator[Wire]:
    """A way to the tracking server that can be cut and mended."""
    parts = urlsplit(homeport_platform.tracking_uri)
    with Wire(parts.hostname or "", parts.port or 0) as found:
        yield found


@pytest.fixture
def name() -> str:
    """A registered model's name that no other test uses."""
    return f"model-{next(_numbers)}"


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """A directory with the model y = slope * x."""
    made: dict[float, Path] = {}

    def save(slope: float) -> Path:
        from sklearn.linear_model import LinearRegression

        if slope not in made:
            made[slope] = tmp_path_factory.mktemp("saved") / "model"
            fitted = LinearRegression(fit_intercept=False).fit([[1.0], [2.0]], [slope, 2 * slope])
            with warnings.catch_warnings():
                # MLflow's advice about signatures and formats, and about itself when it is imported.
                warnings.simplefilter("ignore")
                import mlflow.sklearn

                mlflow.sklearn.save_model(
                    fitted, made[slope], pip_requirements=["scikit-learn"], serialization_format="cloudpickle"
                )
        return made[slope]

    return save


@pytest.fixture(scope="session")
def register(client: MlflowClient) -> Register:
    """Uploads a model's directory and registers it; its new version."""

    def add(name: str, directory: Path) -> str:
        from mlflow.exceptions import MlflowException

        try:
            client.create_registered_model(name)
        except MlflowException as error:
            assert error.error_code == "RESOURCE_ALREADY_EXISTS"  # noqa: PT017 - a version of it was made before
        run = client.create_run("0")
        client.log_artifacts(run.info.run_id, str(directory), "model")
        source = f"{run.info.artifact_uri}/model"
        return str(client.create_model_version(name, source, run_id=run.info.run_id).version)

    return add


@pytest.fixture
def shelf(client: MlflowClient, register: Register, saved: Saved, name: str) -> Shelf:
    return Shelf(client, register, saved, name)


@pytest.fixture
def broken(saved: Saved, tmp_path: Path) -> Path:
    """A model that is downloaded well and does not load."""
    directory = tmp_path / "broken"
    shutil.copytree(saved(9), directory)
    (directory / "model.pkl").write_bytes(b"not a pickle")
    return directory


class Loop:
    """An event loop in a thread, as a worker has one."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def call(self, function: Callable[[], None]) -> None:
        self.loop.call_soon_threadsafe(function)

    def end(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(30)
        self.loop.close()


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.end()


@pytest.fixture
def nobody() -> Iterator[str]:
    """The URI of a port on which nobody listens, and nobody will."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"
