"""Tracking, side by side: stock `mlflow server`, Homeport, and pgbench with the same inserts, in turn in one run.

All on one PostgreSQL (a database each), one machine, load by wrk with one thread. Rounds alternate, so that a machine
that drifts slows both. Run it on an idle machine: `make bench-tracking`. Prints medians, spreads and ratios, with the
bars the project sets itself; asserts nothing. A row with failed requests says so.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import tracking_data as data
import tracking_load as load
from measure import pss_mb
from tracking_load import API, Rates, Shot
from tracking_servers import Ground, Server, ground, homeport, nothing, stock
from tracking_table import Row, numbers, show

RUNS = 1000
POINTS = 10_000
SIZE = 256 * 2**20
LARGE = 2 * 2**30
GROWTH = (1_000, 10_000, 100_000)
GROWTH_POINTS = 5  # a key, with 20 keys a run: 10 million rows at 100,000 runs


@dataclass
class Bench:
    """What every measurement needs."""

    on: Ground
    options: argparse.Namespace
    room: Path
    servers: dict[str, Server] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    experiment: dict[str, str] = field(default_factory=dict)

    @property
    def pair(self) -> Sequence[Server]:
        """Stock MLflow and Homeport."""
        return self.servers["stock"], self.servers["homeport"]

    def shoot(self, name: str, bar: float | None, shots: Callable[[Server], Shot], note: str = "") -> Row:
        """Load by wrk in turn, after a warm-up of each."""
        found = {server.name: Rates("/s") for server in self.pair}
        for server in self.pair:
            load.wrk(server, shots(server), min(load.WARM, self.options.seconds), self.room, Rates("/s"))
        for _ in range(self.options.rounds):
            for server in self.pair:
                load.wrk(server, shots(server), self.options.seconds, self.room, found[server.name])
        return self.add(name, bar, found["stock"], found["homeport"], note)

    def time(self, name: str, bar: float | None, unit: str, once: Callable[[Server], float], note: str = "") -> Row:
        """A measurement that gives one number, in turn."""
        found = {server.name: Rates(unit) for server in self.pair}
        for _ in range(self.options.rounds):
            for server in self.pair:
                found[server.name].values.append(once(server))
        return self.add(name, bar, found["stock"], found["homeport"], note)

    def add(
        self, name: str, bar: float | None, theirs: Rates, ours: Rates, note: str = "", *, more: bool = True
    ) -> Row:
        """A line; also said at once, for who waits."""
        row = Row(name, bar, theirs, ours, note, more)
        self.rows.append(row)
        print(f"{name}: {theirs} | {ours} | {row.verdict} {note}", flush=True)
        return row

    def run(self, server: Server) -> str:
        """A new run there."""
        made = load.ask(server, "POST", f"{API}/runs/create", {"experiment_id": "0", "start_time": 1})
        return str(made["run"]["info"]["run_id"])


def log_metric(bench: Bench) -> None:
    """One metric a request, with 8 and 64 connections, and what the database alone takes."""
    runs = {server.name: bench.run(server) for server in bench.pair}

    def shot(server: Server, connections: int) -> Shot:
        body = (
            f'{{"run_uuid":"{runs[server.name]}","run_id":"{runs[server.name]}","key":"loss","value":0.5,'
            '"timestamp":1700000000000,"step":#n#}'
        )
        return Shot("POST", f"{API}/runs/log-metric", load.lua(body), connections)

    for connections, bar in ((8, 15), (64, 60)):
        row = bench.shoot(f"log-metric, {connections} connections", bar, partial(shot, connections=connections))
        limit = Rates("/s")
        for _ in range(bench.options.rounds):
            uri = bench.servers["homeport"].database
            limit.values.append(load.pgbench(uri, runs["homeport"], connections, bench.options.seconds, bench.room))
        bar_of_limit = 0.8 if connections == 64 else None
        bench.add(f"  against pgbench, {connections} clients", bar_of_limit, limit, row.ours, "(left: pgbench)")


def log_batch(bench: Bench) -> None:
    """100 metrics a request."""
    runs = {server.name: bench.run(server) for server in bench.pair}

    def shot(server: Server) -> Shot:
        metrics = ",".join(
            f'{{"key":"metric-{i}","value":0.5,"timestamp":1700000000000,"step":#n#}}' for i in range(100)
        )
        return Shot(
            "POST", f"{API}/runs/log-batch", load.lua(f'{{"run_id":"{runs[server.name]}","metrics":[{metrics}]}}')
        )

    bench.shoot("log-batch, 100 metrics", 12, shot)


def create_run(bench: Bench) -> None:
    """New runs with two tags, in an experiment of their own."""
    into = {server.name: experiment(server, "created") for server in bench.pair}
    tags = '[{"key":"mlflow.user","value":"me"},{"key":"mlflow.source.name","value":"train.py"}]'

    def shot(server: Server) -> Shot:
        body = f'{{"experiment_id":"{into[server.name]}","start_time":#n#,"run_name":"run #n#","tags":{tags}}}'
        return Shot("POST", f"{API}/runs/create", load.lua(body))

    bench.shoot("create-run", 8, shot)


def get_run(bench: Bench) -> None:
    """One run with 20 metrics and 20 params."""
    filled(bench)
    bench.shoot("runs/get", 15, always(Shot("GET", f"{API}/runs/get?run_id={data.run_id(7)}")))


def search(bench: Bench) -> None:
    """The first 100 of 1,000 runs with 20 metrics and 20 params each."""
    filled(bench)
    bench.shoot("runs/search, first 100 of 1,000 runs", 15, lambda server: searching(bench.experiment[server.name]))


def searching(experiment_id: str, connections: int = 8) -> Shot:
    """The search of the run table's first page."""
    body = (
        f'{{"experiment_ids":["{experiment_id}"],"filter":"","run_view_type":"ACTIVE_ONLY","max_results":100,'
        '"order_by":["attributes.start_time DESC"]}'
    )
    return Shot("POST", f"{API}/runs/search", load.lua(body), connections)


def history(bench: Bench) -> None:
    """All 10,000 points of one metric."""
    filled(bench)
    for server in bench.pair:
        data.history(server.database, 7, "long", POINTS)
    target = f"{API}/metrics/get-history?run_id={data.run_id(7)}&metric_key=long&max_results=25000"
    bench.shoot("metric history, 10,000 points", 10, always(Shot("GET", target)))


def client(bench: Bench) -> None:
    """`mlflow.log_metric` in a loop, and what the client costs against a server that does nothing."""
    row = bench.time("mlflow.log_metric loop", 3, "/s", lambda server: load.client(server, bench.options.seconds))
    with nothing() as server:
        floor = Rates("/s", [load.client(server, bench.options.seconds) for _ in range(bench.options.rounds)])
    bench.add("  against a server that answers nothing", None, floor, row.ours, "(left: the client's own limit)")


def artifacts(bench: Bench) -> None:
    """256 MB up and down through the server, and with --large the server's memory meanwhile for 2 GB."""
    bench.time("artifact upload, 256 MB", 1.5, "MB/s", lambda server: load.upload(server, "bench/256.bin", SIZE))
    bench.time("artifact download, 256 MB", 1.5, "MB/s", lambda server: load.download(server, "bench/256.bin", SIZE))
    if not bench.options.large:
        return
    peaks = {}
    for server in bench.pair:
        alone = [load.front(server)] if server.name == "homeport" else []
        with load.watching(alone, server) as seen:
            load.upload(server, "bench/2g.bin", LARGE)
            load.download(server, "bench/2g.bin", LARGE)
        peaks[server.name] = [Rates("MB", [max(each)]) for each in zip(*seen, strict=True)]
    bench.add("peak PSS with a file of 2 GB", None, peaks["stock"][0], peaks["homeport"][0], more=False)
    ours, limit = peaks["homeport"][1], Rates("MB", [150.0])
    bench.add("  its front alone", 1, limit, ours, "(left: the limit)", more=False)


def login(bench: Bench) -> None:
    """What asking for a password costs, for a write and for a read."""
    plain = bench.servers["homeport"]
    with homeport(bench.on, "guarded", login=True) as guarded:
        shots = {}
        for server in (plain, guarded):
            run_id = bench.run(server)
            body = f'{{"run_id":"{run_id}","key":"loss","value":0.5,"timestamp":1700000000000,"step":#n#}}'
            write = Shot("POST", f"{API}/runs/log-metric", load.lua(body))
            shots[server.pid] = {"log-metric": write, "runs/get": Shot("GET", f"{API}/runs/get?run_id={run_id}")}
        for name in ("log-metric", "runs/get"):
            found = {server.pid: Rates("/s") for server in (plain, guarded)}
            for _ in range(bench.options.rounds):
                for server in (plain, guarded):
                    shot = shots[server.pid][name]
                    load.wrk(server, shot, bench.options.seconds, bench.room, found[server.pid])
            off, on = found[plain.pid], found[guarded.pid]
            bench.add(f"{name} with logins", 0.8, off, on, "(left: Homeport without, right: with)")


def memory(bench: Bench) -> None:
    """PSS of each server by itself, idle, the database not counted."""
    found = {}
    for start, name in ((stock, "memory_stock"), (homeport, "memory_homeport")):
        with start(bench.on, name) as server:
            time.sleep(min(5.0, bench.options.seconds))
            found[server.name] = Rates("MB", [pss_mb([server.pid])])
    bench.add("memory (PSS), jobs off", 0.6, found["stock"], found["homeport"], more=False)


def growth(bench: Bench) -> None:
    """Search and history as there are more runs, up to 10 million rows of metrics."""
    made = 0
    into = {server.name: experiment(server, "growth") for server in bench.pair}
    for runs in bench.options.growth_runs:
        for server in bench.pair:
            numbers = range(1_000_000 + made, 1_000_000 + runs)
            data.fill(server.database, int(into[server.name]), numbers, points=GROWTH_POINTS)
            data.history(server.database, 1_000_000 + made, "long", POINTS)
        target = f"{API}/metrics/get-history?run_id={data.run_id(1_000_000 + made)}&metric_key=long&max_results=25000"
        made = runs
        bench.shoot(f"growth: search, {runs:,} runs", None, lambda server: searching(into[server.name], 1))
        bench.shoot(f"growth: history, {runs:,} runs", None, always(Shot("GET", target, connections=1)))


def always(shot: Shot) -> Callable[[Server], Shot]:
    """The same request to every server."""
    return lambda _: shot


def experiment(server: Server, name: str) -> str:
    """A new experiment there."""
    return str(load.ask(server, "POST", f"{API}/experiments/create", {"name": name})["experiment_id"])


def filled(bench: Bench) -> None:
    """1,000 runs with 20 metrics and 20 params each, on both."""
    if not bench.experiment:
        for server in bench.pair:
            bench.experiment[server.name] = experiment(server, "filled")
            data.fill(server.database, int(bench.experiment[server.name]), range(1, RUNS + 1))


ALL: dict[str, Callable[[Bench], None]] = {
    "memory": memory, "log-metric": log_metric, "log-batch": log_batch, "create-run": create_run, "get-run": get_run,
    "search": search, "history": history, "client": client, "artifacts": artifacts, "login": login, "growth": growth,
}  # fmt: skip


def main() -> None:
    """Measure in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=sorted(ALL), help="only these (default: all but growth)")
    parser.add_argument("--seconds", type=float, default=6.0, help="of load a round (default 6)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds a server (default 3)")
    parser.add_argument("--growth", action="store_true", help="also 1k, 10k and 100k runs with 10 M metric rows")
    parser.add_argument("--growth-runs", type=int, nargs="+", default=list(GROWTH), help="other sizes for --growth")
    parser.add_argument("--large", action="store_true", help="also the memory for an artifact of 2 GB")
    parser.add_argument("--json", type=Path, help="write the numbers there, too")
    parser.add_argument("--plot", type=Path, help="draw the growth there, too (an .svg or .png)")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        parser.error("wrk makes the load: apt-get install wrk")
    chosen = options.only or [name for name in ALL if name != "growth" or options.growth]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started must end with this
    root = Path(tempfile.mkdtemp(prefix="homeport-bench-"))
    try:
        rows = measure(root, chosen, options)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    show(rows)
    if options.json:
        options.json.write_text(json.dumps([numbers(row) for row in rows], indent=1))
    if options.plot:
        from tracking_plot import draw

        draw([numbers(row) for row in rows], options.plot)


def measure(root: Path, chosen: Sequence[str], options: argparse.Namespace) -> list[Row]:
    """Every measurement asked for. Memory comes first, with nothing else running."""
    with ground(root, store="artifacts" in chosen) as on, ExitStack() as stack:
        bench = Bench(on, options, root)
        for name in sorted(chosen, key=list(ALL).index):
            if name != "memory" and not bench.servers:
                bench.servers = {
                    server.name: server for server in (stack.enter_context(start(on)) for start in (stock, homeport))
                }
            ALL[name](bench)
    return bench.rows


if __name__ == "__main__":
    main()
