"""Overload: requests come at a steady rate, below, at and at twice what a slow model can answer. Ours and MLflow's.

The model sleeps 20 ms a prediction, so capacity is known: threads / 0.02 s. Arrivals do not wait for answers, as real
callers do not (open loop). Goodput is answers of 200 a second; latency is that of accepted requests. Run it on an idle
machine: `make bench-overload`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from measure import answers, wait_for

from homeport.platform import Platform
from homeport.supervisor.ports import choose

BIN = Path(sys.executable).parent
NAME = "bench-slow"
BODY = json.dumps({"dataframe_split": {"columns": ["x"], "data": [[1.0]]}}).encode()
MODEL = """
import time, mlflow
from mlflow.pyfunc import PythonModel
class Slow(PythonModel):
    def predict(self, context, model_input, params=None):
        time.sleep(0.02)
        return [1.0] * len(model_input)
mlflow.models.set_model(Slow())
"""
LOG = """
import sys, mlflow, pandas as pd
from mlflow import MlflowClient
from mlflow.models import infer_signature
source, name, where = sys.argv[1:]
frame = pd.DataFrame({"x": [1.0]})
with mlflow.start_run():
    mlflow.pyfunc.log_model(python_model=source, name="model", registered_model_name=name, pip_requirements=[],
                            signature=infer_signature(frame, [1.0]), input_example=frame)
MlflowClient().set_registered_model_alias(name, "champion", 1)
mlflow.artifacts.download_artifacts(f"models:/{name}/1", dst_path=where)
"""


@dataclass
class Seen:
    """What the callers saw: seconds of each accepted request, and how many of each status."""

    accepted: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)


async def caller(
    port: int, path: str, seen: Seen, free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
) -> None:
    """One request on a free connection, or on a new one."""
    begin = time.perf_counter()
    try:
        reader, writer = free.pop() if free else await asyncio.open_connection("127.0.0.1", port)
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
        )
        writer.write(head.encode() + BODY)
        lines = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)).decode().lower()
        length = int(lines.split("content-length:")[1].split("\r\n")[0])
        await reader.readexactly(length)
        status = int(lines.split(" ")[1])
        if "connection: close" in lines:
            writer.close()
        else:
            free.append((reader, writer))
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        status = 0
    seen.statuses[status] = seen.statuses.get(status, 0) + 1
    if status == 200:
        seen.accepted.append(time.perf_counter() - begin)


async def arrivals(port: int, path: str, rate: float, seconds: float) -> tuple[Seen, float]:
    """Requests at a steady rate for so long; what was seen, and how long it took to the last answer."""
    seen, free, tasks = Seen(), [], []  # type: ignore[var-annotated] # said by caller
    begin = time.perf_counter()
    for number in range(int(rate * seconds)):
        due = begin + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.ensure_future(caller(port, path, seen, free)))
    await asyncio.gather(*tasks)
    took = time.perf_counter() - begin
    for _, writer in free:
        writer.close()
    return seen, took


def show(name: str, capacity: float, port: int, path: str, seconds: float) -> list[float]:
    """Three rates against one server, a line each; the goodputs."""
    found = []
    for factor in (0.5, 1.0, 2.0):
        seen, took = asyncio.run(arrivals(port, path, capacity * factor, seconds))
        goodput = len(seen.accepted) / took
        found.append(goodput)
        latencies = [seconds * 1000 for seconds in sorted(seen.accepted)] or [float("nan")]
        others = {status: count for status, count in sorted(seen.statuses.items()) if status != 200}
        print(
            f"{name:20} {factor:4.1f} × capacity  goodput {goodput:6.1f}/s  accepted p50 "
            f"{statistics.median(latencies):6.0f} ms  p99 {latencies[int(len(latencies) * 0.99) - 1]:6.0f} ms"
            f"  last answer after {took:5.1f} s  others {others or '-'}"
        )
    return found


def main() -> None:
    """Measure in turn and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a load (default 10)")
    parser.add_argument("--workers", type=int, default=2, help="processes a server (default 2)")
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="homeport-bench-"))
    (root / "slow.py").write_text(MODEL)
    cores = len(os.sched_getaffinity(0))
    try:
        with Platform.private(root / "home", serving_workers=options.workers) as platform:
            environ = platform.client_environ()
            subprocess.run(
                [sys.executable, "-W", "ignore", "-c", LOG, str(root / "slow.py"), NAME, str(root / "model")],
                env=environ, check=True, capture_output=True,
            )  # fmt: skip
            url = platform.serving_url
            assert url
            path = f"/models/{NAME}/invocations"
            wait_for(lambda: answers(url + path, BODY), 60)
            time.sleep(5)  # every worker has it
            listening = int(url.rpartition(":")[2])
            capacity = options.workers * cores / 0.02
            ours = show("homeport", capacity, listening, path, options.seconds)
        port = choose(set())
        command = [
            str(BIN / "mlflow"), "models", "serve", "-m", str(root / "model"), "-p", str(port), "-w",
            str(options.workers), "--env-manager", "local",
        ]  # fmt: skip
        with (root / "log").open("wb") as log:
            environ = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
            stock = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env=environ)
        try:
            wait_for(lambda: answers(f"http://127.0.0.1:{port}/invocations", BODY), 120)
            # Its threads: Python's default, cores + 4 a process.
            capacity = options.workers * (cores + 4) / 0.02
            show("mlflow models serve", capacity, port, "/invocations", options.seconds)
        finally:
            below = psutil.Process(stock.pid).children(recursive=True)
            os.killpg(stock.pid, signal.SIGTERM)
            for each in psutil.wait_procs([psutil.Process(stock.pid), *below], timeout=20)[1]:
                each.kill()
        print(f"homeport's goodput at twice its capacity / its best: {ours[2] / max(ours):.2f}   (bar: at least 0.9)")
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
