"""The servers that serving is compared with: how each is installed, started and asked, and how it ends.

Refuses to know what is measured.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from measure import answers, wait_for

from homeport.supervisor.ports import choose

HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
NAME = "bench-wine"
ENVIRONMENTS = {
    "mlflow": ("mlflow==3.17.2", "xgboost-cpu==3.2.0", "scikit-learn==1.9.1", "pandas", "skops"),
    "mlserver": ("mlserver==1.7.1", "mlserver-mlflow==1.7.1", "uvloop<0.22", "xgboost-cpu==3.2.0", "scikit-learn"),
    "bentoml": ("bentoml==1.4.39", "xgboost-cpu==3.2.0"),
}


@dataclass
class Peer:
    """One server under test.

    Args:
        name: as the table has it.
        command: starts it, from port and number of workers.
        path: where one posts.
        environ: further variables.
        body: makes its request body from MLflow's dataframe_split; the same when not given.
    """

    name: str
    command: Callable[[int, int], list[str]]
    path: str = "/invocations"
    environ: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None
    body: Callable[[bytes], bytes] = lambda body: body
    balance: bool = False


def environment(name: str, where: Path) -> Path:
    """The programs of a peer's own environment, made once."""
    home = where / name
    if not (home / "made").exists():
        print(f"installing {name} …", file=sys.stderr)
        uv = str(BIN / "uv")
        subprocess.run([uv, "venv", "-q", "--clear", "--python", sys.executable, str(home)], check=True)
        subprocess.run(
            [uv, "pip", "install", "-q", "--python", str(home / "bin/python"), *ENVIRONMENTS[name]], check=True
        )
        (home / "made").touch()
    return home / "bin"


@contextmanager
def running(peer: Peer, workers: int, body: bytes, log: Path) -> Iterator[tuple[int, int, float]]:
    """The peer's port, process and seconds until its first right answer; ended afterwards with all below it."""
    port = choose(set())
    env = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "BENTOML_DO_NOT_TRACK": "true", **peer.environ}
    begin = time.monotonic()
    with log.open("ab") as out:
        process = subprocess.Popen(
            peer.command(port, workers), env={**env, "PORT": str(port)}, stdout=out, stderr=out, cwd=peer.directory,
            start_new_session=True,
        )  # fmt: skip
    try:
        wait_for(lambda: _answers(process, f"http://127.0.0.1:{port}{peer.path}", peer.body(body)), 180)
        yield port, process.pid, time.monotonic() - begin
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    below = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGTERM)
    _, alive = psutil.wait_procs([psutil.Process(process.pid), *below], timeout=30)
    for each in alive:
        each.kill()
    process.wait()


def _answers(process: subprocess.Popen[bytes], url: str, body: bytes) -> bool:
    if process.poll() is not None:
        raise TimeoutError(f"the server ended with {process.returncode}")
    return answers(url, body)


def peers(root: Path, model: Path, booster: Path, *, uri: str, environments: Path, chosen: set[str]) -> list[Peer]:
    """Every peer that was asked for, ours first."""
    bare = {"BARE_MODEL": str(booster), "OMP_NUM_THREADS": "1"}
    ours = {
        "HOMEPORT_SERVE": f"{NAME}@champion",
        "HOMEPORT_SERVING_CACHE": str(root / "cache"),
        "MLFLOW_TRACKING_URI": uri,
        "OMP_NUM_THREADS": "1",
    }

    def homeport(port: int, workers: int) -> list[str]:
        settings = [f"HOMEPORT_LISTEN_PORT={port}", f"HOMEPORT_WORKERS={workers}"]
        return ["env", *settings, sys.executable, "-m", "homeport.serving"]

    def stock(programs: Path) -> Callable[[int, int], list[str]]:
        return lambda port, workers: [
            str(programs / "mlflow"), "models", "serve", "-m", str(model), "-p", str(port), "-w", str(workers),
            "--env-manager", "local",
        ]  # fmt: skip

    def path(programs: Path) -> dict[str, str]:
        return {"PATH": f"{programs}:{os.environ['PATH']}"}

    found = [Peer("homeport", homeport, environ=ours, balance=True)]
    if "bare" in chosen:
        found.append(
            Peer(
                "bare ASGI app",
                lambda port, workers: [sys.executable, str(HERE / "peers/bare_server.py"), str(port), str(workers)],
                environ=bare,
            )
        )
    if "mlflow" in chosen:
        programs = environment("mlflow", environments)
        found.append(Peer("mlflow models serve", stock(programs), environ=path(programs)))
        found.append(Peer("  with uvicorn[standard]", stock(BIN), environ=path(BIN)))
    if "mlserver" in chosen:
        programs = environment("mlserver", environments)
        for route, make in (("/invocations", None), (f"/v2/models/{NAME}/infer", _v2)):
            directory = _mlserver(root, model, route)
            found.append(
                Peer(
                    f"MLServer {route.rpartition('/')[2]}",
                    _mlserver_command(programs, directory),
                    route,
                    {"OMP_NUM_THREADS": "1", **path(programs)},
                    directory,
                    make or (lambda body: body),
                )
            )
    if "bentoml" in chosen:
        programs = environment("bentoml", environments)
        found.append(
            Peer(
                "BentoML",
                lambda port, workers: [
                    "env", f"BENTO_WORKERS={workers}", str(programs / "bentoml"), "serve", "bento:Wine", "--port",
                    str(port), "--host", "127.0.0.1",
                ],
                environ={**bare, **path(programs), "BENTOML_HOME": str(root / "bentoml")},
                directory=HERE / "peers",
            )
        )  # fmt: skip
    return found


def _mlserver(root: Path, model: Path, path: str) -> Path:
    directory = root / f"mlserver-{path.rpartition('/')[2]}"
    directory.mkdir()
    (directory / "model-settings.json").write_text(
        json.dumps({"name": NAME, "implementation": "mlserver_mlflow.MLflowRuntime", "parameters": {"uri": str(model)}})
    )
    return directory


def _mlserver_command(programs: Path, directory: Path) -> Callable[[int, int], list[str]]:
    def command(port: int, workers: int) -> list[str]:
        settings = {
            "http_port": port, "grpc_port": choose({port}), "metrics_port": choose({port}), "host": "127.0.0.1",
            "parallel_workers": workers if workers > 1 else 0, "debug": False,
        }  # fmt: skip
        (directory / "settings.json").write_text(json.dumps(settings))
        return [str(programs / "mlserver"), "start", str(directory)]

    return command


def _v2(body: bytes) -> bytes:
    split = json.loads(body)["dataframe_split"]
    columns = zip(split["columns"], zip(*split["data"], strict=True), strict=True)
    inputs = [
        {"name": name, "datatype": "FP64", "shape": [len(values), 1], "data": list(values)} for name, values in columns
    ]
    return json.dumps({"parameters": {"content_type": "pd"}, "inputs": inputs}).encode()
