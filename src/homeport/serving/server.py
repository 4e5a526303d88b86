"""The serving program's master: what is shared is imported once, then workers are forked.

MLflow takes seconds to import, so it is imported here only when there is a model to load: an empty registry is served
at once. Refuses to know what a worker does.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import shutil
import socket
import tempfile

from homeport import exposure
from homeport.prefork import Master, listeners
from homeport.serving.config import ServingConfig
from homeport.serving.follow.last_good import LastGood
from homeport.serving.siblings import Mesh

_METRICS_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
_LOADER = re.compile(r"^ +loader_module: (mlflow\.\w+)", flags=re.MULTILINE)
_LIBRARIES = {"mlflow.xgboost": "xgboost.sklearn", "mlflow.lightgbm": "lightgbm", "mlflow.sklearn": "sklearn.ensemble"}


def main() -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        HomeportError: a setting is missing or wrong, the port is taken, or workers keep dying.
    """
    config = ServingConfig.from_environ()
    exposure.check("the serving API", config.host, asks=bool(config.keys), fix="set HOMEPORT_SERVING_KEY to a key")
    sockets = listeners("the serving API", config.host, config.port, config.workers, "HOMEPORT_SERVING_PORT")
    os.environ[_METRICS_DIRECTORY] = tempfile.mkdtemp(prefix="homeport-metrics-")  # read when the library is imported
    try:
        from prometheus_client.multiprocess import mark_process_dead

        from homeport.serving import worker

        _import_what_models_need(config)
        mesh = Mesh.of(config.workers)

        def serve(index: int, listener: socket.socket) -> None:
            worker.serve(config, mesh, index, listener)

        Master(name="serving", count=config.workers, serve=serve, sockets=sockets, died=mark_process_dead).run()
    finally:
        shutil.rmtree(os.environ[_METRICS_DIRECTORY], ignore_errors=True)


def _import_what_models_need(config: ServingConfig) -> None:
    """Import MLflow and the libraries of the models served last, for all workers at once.

    Only imports: a library that has begun to compute may own threads, and those do not survive a fork.
    """
    last_good = LastGood(config.cache)
    if not any(last_good.versions(str(reference)) for reference in config.references):
        return
    flavors = set(
        _LOADER.findall("".join(file.read_text("utf-8", "replace") for file in config.cache.rglob("MLmodel")))
    )
    for module in (
        "mlflow.pyfunc",
        "homeport.serving.scoring.local",
        "homeport.serving.oip",
        *map(_import_of, flavors),
    ):
        with contextlib.suppress(ImportError):  # the worker that loads the model says so better
            importlib.import_module(module)


def _import_of(loader: str) -> str:
    return _LIBRARIES.get(loader, loader)
