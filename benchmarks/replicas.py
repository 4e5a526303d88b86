"""Throughput against the number of replicas of `tracking` and of `serving` behind one Traefik, each on its own host.

Hosts are network namespaces of this machine (tests/replicas/hosts.py), so all of them, PostgreSQL, Traefik and wrk
share its cores; what a request costs whom in CPU time is printed beside each rate. Needs root, iproute2 and wrk; run it
on an idle machine: `make bench-replicas`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
import requests

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import tracking_data as data
import tracking_load as load
from measure import answers, wait_for
from tests.replicas.hosts import Cluster, cluster
from tracking_load import API, Rates, Shot
from tracking_servers import Server

CONNECTIONS = 64
KINDS = {"log-metric": "tracking", "runs/get": "tracking", "log-batch": "tracking", "predict": "serving"}
# What these cost is measured with one replica only: queueing.py asks for it.
COSTS = ("create-run", "runs/search", "get-history", "experiments/search")
_RUNS, _POINTS = 1_000, 300
_PARAMS = 20  # of the run that is read, and as many metrics


@dataclass(frozen=True)
class Balanced(Server):
    """A server that is not on this host."""

    host: str = "127.0.0.1"

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{self.host}:{self.port}"


@dataclass
class Measured:
    """All rounds of one kind of request with one number of replicas.

    Args:
        kind: of `KINDS`.
        replicas: how many.
        rates: requests a second, and latencies.
        cost: who -> CPU microseconds a request, a round each.
    """

    kind: str
    replicas: int
    rates: Rates = field(default_factory=lambda: Rates("/s"))
    cost: dict[str, list[float]] = field(default_factory=dict)

    def row(self) -> str:
        """One line."""
        costs = "  ".join(f"{who} {statistics.median(spent):.0f}" for who, spent in self.cost.items())
        cores = self.rates.median * sum(map(statistics.median, self.cost.values())) / 1e6
        return (
            f"{self.kind:18} {self.replicas}  {self.rates!s:32} {self.rates.latency:18} µs of CPU a request: {costs}"
            f"  ({cores:.1f} cores)"
        )


class Bench:
    """The cluster and what is asked of it."""

    def __init__(self, on: Cluster, room: Path, options: argparse.Namespace) -> None:
        self._on, self._room, self._options = on, room, options
        self.found: dict[tuple[str, int], Measured] = {}
        self.tracking, self.serving = (
            Balanced(kind, int(url.rpartition(":")[2]), 0, host=url.split("/")[2].rpartition(":")[0])
            for kind, url in (("tracking", on.url()), ("serving", on.url("serving")))
        )
        self._run_id = self._run()
        self._model: tuple[str, str] = ("", "")
        made = load.ask(self.tracking, "POST", f"{API}/experiments/create", {"name": "filled"})
        self._experiment = str(made["experiment_id"])
        # Its name is known on the hosts alone.
        database = on.database.uri().replace("@database:", f"@{on.database.address}:")
        data.fill(database, int(self._experiment), range(1, _RUNS + 1))
        data.history(database, 7, "long", _POINTS)

    def train(self, table: Path | None) -> None:
        """Register the wine model, or the penguins' where there are no wines."""
        name = "wine-quality" if table else "penguins"
        command = [sys.executable, "-W", "ignore", "-m", "homeport.training", name]
        environ = {**os.environ, **self._on.client_environ()}
        given = ["--data", str(table)] if table else []
        subprocess.run([*command, *given], env=environ, check=True, capture_output=True)
        self._model = (name, "")

    def serve(self) -> None:
        """Ask what is served once somebody serves it."""
        name = self._model[0]
        status = f"{self.serving.url}/status"

        def example() -> bool:
            rows = requests.get(status, timeout=30).json()["models"]
            found = [row["example"] for row in rows if row["name"] == name and row.get("example")]
            if found:
                self._model = (name, json.dumps(_one_row(found[0])))
            return bool(found)

        wait_for(example, 120)
        for replica in self._on.serving:
            path = f"{replica.url}/models/{name}/invocations"
            wait_for(lambda path=path: answers(path, self._model[1].encode()), 60)  # type: ignore[misc] # bound now

    def shoot(self, kind: str, replicas: int) -> None:
        """One round."""
        measured = self.found.setdefault((kind, replicas), Measured(kind, replicas))
        server = self.serving if KINDS.get(kind) == "serving" else self.tracking
        load.wrk(server, self._shot(kind), min(1.0, self._options.seconds), self._room, Rates("/s"))
        with self._spent(measured):
            load.wrk(server, self._shot(kind), self._options.seconds, self._room, measured.rates)
        print(measured.row(), flush=True)

    def _shot(self, kind: str) -> Shot:
        metric = f'"run_id":"{self._run_id}","key":"loss","value":0.5,"timestamp":1700000000000,"step":#n#'
        many = ",".join(f'{{"key":"m{i}","value":0.5,"timestamp":1700000000000,"step":#n#}}' for i in range(100))
        match kind:
            case "log-metric":
                return Shot("POST", f"{API}/runs/log-metric", load.lua(f"{{{metric}}}"), CONNECTIONS)
            case "log-batch":
                body = f'{{"run_id":"{self._run_id}","metrics":[{many}]}}'
                return Shot("POST", f"{API}/runs/log-batch", load.lua(body), CONNECTIONS)
            case "create-run":
                return Shot(
                    "POST", f"{API}/runs/create", load.lua('{"experiment_id":"0","start_time":#n#}'), CONNECTIONS
                )
            case "runs/search":
                body = (
                    f'{{"experiment_ids":["{self._experiment}"],"filter":"","run_view_type":"ACTIVE_ONLY",'
                    '"max_results":100,"order_by":["attributes.start_time DESC"]}'
                )
                return Shot("POST", f"{API}/runs/search", load.lua(body), CONNECTIONS)
            case "experiments/search":
                return Shot("POST", f"{API}/experiments/search", load.lua('{"max_results":25}'), CONNECTIONS)
            case "get-history":
                path = f"metrics/get-history-bulk-interval?run_ids={data.run_id(7)}&metric_key=long&max_results=320"
                return Shot("GET", f"{API}/{path}", connections=CONNECTIONS)
            case "runs/get":
                return Shot("GET", f"{API}/runs/get?run_id={self._run_id}", connections=CONNECTIONS)
        name, body = self._model
        return Shot("POST", f"/models/{name}/invocations", load.lua(body), CONNECTIONS)

    @contextmanager
    def _spent(self, measured: Measured) -> Iterator[None]:
        before = self._cpu()
        yield
        requests_made = measured.rates.values[-1:] or [0.0]
        count = max(1.0, (requests_made[0] if measured.rates.values else 0.0) * self._options.seconds)
        for who, seconds in self._cpu().items():
            measured.cost.setdefault(who, []).append((seconds - before.get(who, 0.0)) / count * 1e6)

    def _cpu(self) -> dict[str, float]:
        """Seconds of CPU that each part has used."""
        roots: dict[str, list[int]] = {
            "tracking": [replica.pid for replica in self._on.tracking],
            "serving": [replica.pid for replica in self._on.serving],
            "database": [process.popen.pid for process in self._on.network.processes if "database" in process.log.name],
            "balancer": [self._on.balancer.process.pid],
        }
        return {who: sum(map(_used, pids)) for who, pids in roots.items() if pids}

    def _run(self) -> str:
        body: dict[str, Any] = {"experiment_id": "0", "start_time": 1}
        made = load.ask(self.tracking, "POST", f"{API}/runs/create", body)
        run_id = str(made["run"]["info"]["run_id"])
        params = [{"key": f"param-{i}", "value": f"value {i}"} for i in range(_PARAMS)]
        metrics = [{"key": f"metric-{i}", "value": i, "timestamp": 1, "step": 1} for i in range(_PARAMS)]
        load.ask(
            self.tracking, "POST", f"{API}/runs/log-batch", {"run_id": run_id, "params": params, "metrics": metrics}
        )
        return run_id


def _used(pid: int) -> float:
    total = 0.0
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for each in (root, *root.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                times = each.cpu_times()
                total += times.user + times.system
    return total


def _one_row(example: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first row of an input example alone."""
    match example:
        case {"dataframe_split": {"columns": columns, "data": [row, *_]}}:
            return {"dataframe_split": {"columns": columns, "data": [row]}}
        case {"dataframe_records": [row, *_]}:
            return {"dataframe_records": [row]}
    return example


def measure(on: Cluster, room: Path, options: argparse.Namespace) -> list[Measured]:
    """Every kind with every number of replicas, in rounds: a machine that drifts slows all of them."""
    bench = Bench(on, room, options)
    bench.train(options.data)
    kinds = options.only or list(KINDS)
    costs = [] if options.only else list(COSTS)
    for _ in range(options.rounds):
        for count in options.replicas:
            on.scale("tracking", count)
            on.scale("serving", count)
            bench.serve()
            for kind in kinds + (costs if count == options.replicas[0] else []):
                bench.shoot(kind, count)
    return sorted(bench.found.values(), key=lambda each: ((kinds + costs).index(each.kind), each.replicas))


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="of load a round (default 5)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 2, 3], help="how many (default 1 2 3)")
    parser.add_argument("--only", nargs="+", choices=list(KINDS), help="only these")
    parser.add_argument("--data", type=Path, help="winequality-white.csv (default: the penguins' model is asked)")
    parser.add_argument("--json", type=Path, help="write the numbers there, too")
    parser.add_argument("--plot", type=Path, help="draw them there (an .svg or .png)")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        parser.error("wrk makes the load: apt-get install wrk")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started must end with this
    room = Path(tempfile.mkdtemp(prefix="homeport-bench-"))
    room.chmod(0o755)  # PostgreSQL runs as another user
    try:
        with cluster(room, tracking=1) as on:
            found = measure(on, room, options)
    finally:
        shutil.rmtree(room, ignore_errors=True)
    print(f"\n{os.cpu_count()} cores for replicas, PostgreSQL, Traefik and wrk together")
    for each in found:
        print(each.row())
    rows = [
        {**asdict(each), "cost": {who: statistics.median(spent) for who, spent in each.cost.items()},
         "median": each.rates.median} for each in found
    ]  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    if options.plot:
        from replicas_plot import draw

        draw(rows, options.plot)


if __name__ == "__main__":
    main()
