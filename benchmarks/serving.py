"""Serving, side by side: Homeport, `mlflow models serve`, MLServer, BentoML and a bare ASGI application, in turn.

One model (XGBoost regression of the wine data, 100 trees of depth 6), one machine, one client (wrk, 8 keep-alive
connections), equal numbers of workers. Each peer lives in an environment of its own. Run it on an idle machine:
`make bench-serving DATA=winequality-white.csv`. Prints medians, spreads and ratios; asserts nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform as machine
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from measure import pss_mb
from serving_peers import HERE, NAME, Peer, peers, running

from homeport.platform import Platform

CONNECTIONS = 8


@dataclass
class Found:
    """What one run of one peer gave."""

    rate: float
    p50: float
    p99: float
    errors: int


@dataclass
class Measured:
    """All runs of one peer with so many workers."""

    peer: str
    workers: int
    ready: float
    one: list[Found]
    many: list[Found]
    pss: float
    balance: str

    def rate(self, rows: int) -> float:
        """Requests per second with so many rows a request."""
        return statistics.median(each.rate for each in (self.one if rows == 1 else self.many))

    def cells(self) -> tuple[str, ...]:
        """The row of the table."""
        return (
            self.peer,
            str(self.workers),
            _spread(self.one),
            f"{statistics.median(each.p50 for each in self.one):.2f}",
            f"{statistics.median(each.p99 for each in self.one):.2f}",
            _spread(self.many),
            f"{statistics.median(each.p50 for each in self.many):.1f}",
            f"{self.pss:.0f}",
            f"{self.ready:.1f}",
            str(sum(each.errors for each in (*self.one, *self.many))),
            self.balance,
        )


def _spread(found: list[Found]) -> str:
    rates = [each.rate for each in found]
    return f"{statistics.median(rates):,.0f} ({min(rates):,.0f}–{max(rates):,.0f})"


def prepare(root: Path, data: Path, uri: str) -> tuple[Path, Path, bytes, bytes]:
    """Train, log and register the model; the model's directory, its booster's file, bodies of 1 and 1,000 rows."""
    source = """
import sys, json, mlflow, pandas as pd
from mlflow import MlflowClient
from mlflow.models import infer_signature
from xgboost import XGBRegressor
root, data, name = sys.argv[1:]
table = pd.read_csv(data, sep=None, engine="python")
rows, target = table.iloc[:, :11].astype(float), table.iloc[:, 11]
model = XGBRegressor(n_estimators=100, max_depth=6, learning_rate=0.1, n_jobs=1).fit(rows, target)
model.get_booster().save_model(f"{root}/model.ubj")
signature = infer_signature(rows, model.predict(rows))
with mlflow.start_run():
    info = mlflow.xgboost.log_model(model, name="model", signature=signature, input_example=rows[:2],
                                    registered_model_name=name, pip_requirements=["xgboost"])
MlflowClient().set_registered_model_alias(name, "champion", 1)
mlflow.artifacts.download_artifacts(f"models:/{name}/1", dst_path=f"{root}/model")
for count in (1, 1000):
    split = rows[:count].to_dict(orient="split"); del split["index"]
    open(f"{root}/{count}.json", "w").write(json.dumps({"dataframe_split": split}))
"""
    env = {**os.environ, "MLFLOW_TRACKING_URI": uri}
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", source, str(root), str(data), NAME], env=env, check=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return root / "model", root / "model.ubj", (root / "1.json").read_bytes(), (root / "1000.json").read_bytes()


def load(url: str, body: Path, seconds: int) -> Found:
    """Load by wrk for so many seconds: requests per second, latencies in ms, answers that were not 2xx."""
    script = body.with_suffix(".lua")
    script.write_text(
        f'local f = io.open("{body}"); wrk.body = f:read("*a"); wrk.method = "POST"\n'
        'wrk.headers["Content-Type"] = "application/json"\n'
    )
    command = [
        "wrk",
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{seconds}s",
        "--latency",
        "--timeout",
        "30s",
        "-s",
        str(script),
        url,
    ]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])  # type: ignore[index] # wrk always prints it
    latency = dict(re.findall(r"^\s+(50|99)%\s+([\d.]+\w+)", text, flags=re.M))
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return Found(rate, _ms(latency["50"]), _ms(latency["99"]), int(errors[1]) if errors else 0)


def _ms(text: str) -> float:
    number, unit = re.match(r"([\d.]+)(\w+)", text).groups()  # type: ignore[union-attr] # wrk's form
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def measure(peer: Peer, workers: int, bodies: tuple[bytes, bytes], root: Path, options: argparse.Namespace) -> Measured:
    """One peer: time to its first answer, load of one row and of 1,000, memory after it."""
    files = []
    for rows, body in zip((1, 1000), bodies, strict=True):
        files.append(root / f"{peer.name.strip().replace(' ', '-').replace('/', '-')}-{rows}.json")
        files[-1].write_bytes(peer.body(body))
    with running(peer, workers, bodies[0], root / "peers.log") as (port, pid, ready):
        url = f"http://127.0.0.1:{port}{peer.path}"
        load(url, files[0], 2)  # warm
        one = [load(url, files[0], options.seconds) for _ in range(options.rounds)]
        many = [load(url, files[1], options.seconds) for _ in range(options.rounds)]
        size = pss_mb([pid])
        shares = _balance(port) if peer.balance else ""
    return Measured(peer.name, workers, ready, one, many, size, shares)


def _balance(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/status?workers=true") as answer:
        workers = json.load(answer)["each_worker"]
    counts = [sum(row["answered"] for row in worker["served"].values()) for worker in workers]
    return " : ".join(f"{count / max(1, sum(counts)):.0%}" for count in counts)


def show(rows: list[Measured]) -> None:
    """The table and the ratios that the project promises."""
    print(f"{os.cpu_count()} cores, {machine.machine()}, Python {machine.python_version()}; {CONNECTIONS} connections")
    print("medians, lowest to highest in brackets; latencies in ms, memory (PSS) in MB, ready in s")
    heads = ("", "workers", "1 row/s", "p50", "p99", "1,000 rows/s", "p50", "PSS", "ready", "errors", "balance")
    table = [heads, *(row.cells() for row in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(heads))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    ours = {row.workers: row for row in rows if row.peer == "homeport"}
    for row in rows:
        if row.peer != "homeport":
            one, many = (ours[row.workers].rate(rows) / row.rate(rows) for rows in (1, 1000))
            print(
                f"homeport / {row.peer.strip()}, {row.workers} worker(s): {one:.2f} × one row, {many:.2f} × 1,000 rows"
            )


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]


def main() -> None:
    """Measure in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="winequality-white.csv")
    parser.add_argument("--rounds", type=int, default=3, help="loads of each kind a peer (default 3)")
    parser.add_argument("--seconds", type=int, default=10, help="length of a load (default 10)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="processes a server (default 1 and 2)")
    parser.add_argument("--peers", default="bare,mlflow,mlserver,bentoml", help="which peers, separated by commas")
    parser.add_argument(
        "--environments", type=Path, default=HERE / ".environments", help="where the peers are installed"
    )
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed; on Debian and Ubuntu: apt-get install wrk")
    root = Path(tempfile.mkdtemp(prefix="homeport-bench-"))
    rows: list[Measured] = []
    try:
        with Platform.private(root / "home", serve="none") as platform:
            model, booster, one, many = prepare(root, options.data, platform.tracking_uri)
            found = peers(
                root,
                model,
                booster,
                uri=platform.tracking_uri,
                environments=options.environments,
                chosen=set(options.peers.split(",")),
            )
            with running(found[0], 1, one, root / "peers.log") as (_, _, cold):
                print(f"homeport, empty cache: first answer after {cold:.1f} s", file=sys.stderr)
            for workers in options.workers:
                for peer in found:
                    try:
                        rows.append(measure(peer, workers, (one, many), root, options))
                    except (TimeoutError, subprocess.CalledProcessError) as error:
                        # The others are still worth measuring.
                        print(f"{peer.name} with {workers}: {error}\n{_tail(root / 'peers.log')}", file=sys.stderr)
                    else:
                        print(f"{peer.name} with {workers}: done", file=sys.stderr)
        show(rows)
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
