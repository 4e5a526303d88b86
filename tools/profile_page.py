"""What MLflow's page and clients ask of the tracking server, and who answers: the front, or MLflow behind it.

`python -m tools.profile_page` starts Homeport with a workspace in it, opens the page's views in Chromium, trains with
autolog, and prints every call with how often it was made (docs/how-to/fast-lane.md). Refuses to know how fast it is.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import aiohttp
import mlflow
import requests
from mlflow.entities import Metric, Param, RunTag
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from tests.differential.pair import homeport, postgres
from tests.programs.database.programs import environment

from homeport.tracking.artifacts import paths
from homeport.tracking.fast.database import Database
from homeport.tracking.fast.routes import Routes
from homeport.tracking.front.call import Table
from homeport.tracking.front.private import Private

RUNS, METRICS, STEPS = 200, 20, 20
_QUIET = 5.0  # seconds without a call, after which a view is complete
_PATIENCE = 40.0
_FILES = ("/static-files/", "/favicon", "/manifest")  # the page itself
_COUNTED = re.compile(r'homeport_tracking_requests_total\{outcome="(fast|passed)",route="([^"]+)"\} (\S+)')
_IDS = re.compile(r"/(?:m-[0-9a-f]{32}|tr-[0-9a-f]{32}|[0-9a-f]{32}|\d+)(?=/|$)")
_ARTIFACT = re.compile(r"(/mlflow-artifacts/artifacts/).*")
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0",
    "--window-size=1400,900",
)  # fmt: skip

Asked = Counter[tuple[str, str]]  # method and path -> how often


class Workspace(NamedTuple):
    """What is there to look at."""

    experiment: str
    run: str
    others: tuple[str, ...]
    model: str
    logged: str
    trace: str


class View(NamedTuple):
    """Something that was looked at or done, and what that asked."""

    name: str
    asked: Asked
    answered: Mapping[str, tuple[int, int]]  # route -> answered by the front, passed on


def main() -> None:
    """Profile, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="runs in the experiment")
    runs = parser.parse_args().runs
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("there is no Chromium on this machine")
    with tempfile.TemporaryDirectory() as name, postgres() as server, homeport(server, Path(name), "profiled") as side:
        workspace = fill(side.url, runs)
        seen = asyncio.run(looked(chromium, Path(name) / "profile", side.url, workspace))
        tell(seen + [done(name, side.url, work) for name, work in WORK.items()])


def fill(url: str, runs: int) -> Workspace:
    """Experiments, runs with histories, logged and registered models, artifacts and traces; through MLflow's client."""
    mlflow.set_tracking_uri(url)
    client = mlflow.MlflowClient()
    for number in range(4):
        client.create_experiment(f"experiment {number}")
    experiment = mlflow.set_experiment("profiled").experiment_id
    made = []
    for number in range(runs):
        run = client.create_run(experiment, run_name=f"run {number}").info.run_id
        metrics = [
            Metric(f"metric_{key}", number + key / (step + 1), 1_700_000_000_000 + step, step)
            for key in range(METRICS) for step in range(STEPS)
        ]  # fmt: skip
        params = [Param(f"param_{key}", str(number % (key + 2))) for key in range(METRICS)]
        client.log_batch(run, metrics, params, [RunTag("team", "a")])
        client.set_terminated(run)
        made.append(run)
    for run in made[-3:]:
        client.log_text(run, "a report\n", "reports/report.txt")
        client.log_dict(run, {"one": 1}, "reports/numbers.json")
    for number in range(5):
        name = f"model {number}"
        client.create_registered_model(name, {"team": "a"}, "described")
        for run in made[:4]:
            client.create_model_version(name, f"runs:/{run}/model", run, {"checked": "yes"})
        client.set_registered_model_alias(name, "champion", "3")
    logged = ""
    for number in range(10):
        model = client.create_logged_model(experiment, f"logged-{number}", made[-1 - number], params={"depth": "3"})
        logged = client.finalize_logged_model(model.model_id, "READY").model_id
        client.log_metric(made[-1 - number], "of_model", number, model_id=logged)
    trace = ""
    for number in range(20):
        with mlflow.start_span(f"asked {number}") as span:
            span.set_inputs({"question": number})
            with mlflow.start_span("looked up"):
                span.set_outputs({"answer": number})
        trace = span.trace_id
    mlflow.flush_trace_async_logging()
    return Workspace(experiment, made[-1], tuple(made[-3:]), "model 1", logged, trace)


def views(on: Workspace) -> Mapping[str, str]:
    """Views of the page, and where they are."""
    of = f"experiments/{on.experiment}"
    compared = f"runs={quote(json.dumps(on.others))}&experiments={quote(json.dumps([on.experiment]))}"
    return {
        "experiments": "experiments",
        "run table": f"{of}/runs",
        "charts of the runs": f"{of}/runs?compareRunsMode=CHART",
        "run": f"{of}/runs/{on.run}",
        "run, metrics": f"{of}/runs/{on.run}/model-metrics",
        "run, artifacts": f"{of}/runs/{on.run}/artifacts/reports/report.txt",
        "runs compared": f"compare-runs?{compared}",
        "logged models": f"{of}/models",
        "logged model": f"{of}/models/{on.logged}",
        "traces": f"{of}/traces",
        "trace": f"{of}/traces?selectedEvaluationId={on.trace}",
        "registered models": "models",
        "registered model": f"models/{quote(on.model)}",
        "version": f"models/{quote(on.model)}/versions/3",
    }


async def looked(chromium: str, room: Path, url: str, workspace: Workspace) -> list[View]:
    """Every view opened by itself, in a page that was empty before."""
    found = []
    command = [chromium, *_FLAGS, f"--user-data-dir={room}", "about:blank"]
    home = environment({"HOME": str(room)})
    with subprocess.Popen(command, env=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as browser:
        try:
            async with aiohttp.ClientSession() as session:
                door = f"http://127.0.0.1:{await _port(room / 'DevToolsActivePort')}/json/list"
                async with session.get(door) as answer:
                    page = next(each for each in await answer.json(content_type=None) if each["type"] == "page")
                async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as wire:
                    for name, path in views(workspace).items():
                        with answering(url) as answered:
                            asked = await _opened(wire, url, f"{url}/#/{path}")
                        found.append(View(name, asked, answered))
        finally:
            browser.terminate()
    return found


async def _port(told: Path) -> str:
    until = time.monotonic() + _PATIENCE
    while not (told.exists() and "\n" in (text := told.read_text())):
        if time.monotonic() > until:
            sys.exit("Chromium does not start")
        await asyncio.sleep(0.1)
    return text.partition("\n")[0]


async def _opened(wire: Any, url: str, address: str) -> Asked:  # noqa: ANN401 - aiohttp's, which is generic
    """The calls that opening an address makes, until no more come."""
    for number, (method, values) in enumerate(
        (("Network.enable", {}), ("Page.navigate", {"url": "about:blank"}), ("Page.navigate", {"url": address}))
    ):
        await wire.send_json({"id": number, "method": method, "params": values})
    asked: Asked = Counter()
    under_way: set[str] = set()
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        try:
            event = await wire.receive_json(timeout=_QUIET)
        except TimeoutError:
            if asked and not under_way:
                break
            continue
        told = event.get("params", {})
        if event.get("method") == "Network.requestWillBeSent":
            request = told["request"]
            path = urlsplit(request["url"]).path
            if request["url"].startswith(url) and path != "/" and not path.startswith(_FILES):
                asked[request["method"], path] += 1
                under_way.add(told["requestId"])
        elif event.get("method") in {"Network.loadingFinished", "Network.loadingFailed"}:
            under_way.discard(told["requestId"])
    return asked


@contextmanager
def answering(url: str) -> Iterator[dict[str, tuple[int, int]]]:
    """Gives, at its end, who answered meanwhile: by route, the front and MLflow."""
    before = _counted(url)
    found: dict[str, tuple[int, int]] = {}
    yield found
    after = _counted(url)
    for route in {name for name, _ in after}:
        fast, passed = (after[route, how] - before[route, how] for how in ("fast", "passed"))
        if fast or passed:
            found[route] = (fast, passed)


def _counted(url: str) -> Counter[tuple[str, str]]:
    text = requests.get(f"{url}/metrics", timeout=30).text
    return Counter({(route, how): int(float(count)) for how, route, count in _COUNTED.findall(text)})


def done(name: str, url: str, work: Callable[[], object]) -> View:
    """What a client asks while it does its work."""
    asked: Asked = Counter()
    send = requests.Session.send

    def noted(session: requests.Session, request: requests.PreparedRequest, **more: Any) -> requests.Response:  # noqa: ANN401 - requests'
        if (request.url or "").startswith(url):
            asked[request.method or "", urlsplit(request.url or "").path] += 1
        return send(session, request, **more)

    with answering(url) as answered:
        requests.Session.send = noted  # type: ignore[assignment,method-assign]  # all of MLflow's client goes through it
        try:
            work()
        finally:
            requests.Session.send = send  # type: ignore[method-assign]  # as before
    return View(name, asked, answered)


def _train() -> None:
    mlflow.sklearn.autolog()
    LogisticRegression(max_iter=200).fit(*load_iris(return_X_y=True))
    mlflow.sklearn.autolog(disable=True)


def _register() -> None:
    with mlflow.start_run():
        model = LogisticRegression(max_iter=200).fit(*load_iris(return_X_y=True))
        mlflow.sklearn.log_model(model, name="model", registered_model_name="trained")
    mlflow.MlflowClient().set_registered_model_alias("trained", "champion", "1")


def _load() -> None:
    mlflow.sklearn.load_model("models:/trained@champion")


WORK = {"autolog (scikit-learn)": _train, "log_model, register, set an alias": _register, "load_model": _load}


def tell(seen: list[View]) -> None:
    """Print each call, and then one line of Markdown for each view."""
    table = Table(Routes(Database("postgresql://h/d"), Private(("/nowhere",)), {}).all())
    lines = []
    for view in seen:
        print(f"\n{view.name}")
        calls: Counter[tuple[str, str, str]] = Counter()
        for (method, path), count in view.asked.items():
            found = table.find(method, path)
            route = found[0].name if found else "artifact-" if path.startswith(paths.PREFIXES) else ""
            calls[method, _ARTIFACT.sub(r"\1…", _IDS.sub("/{}", path)), route] += count
        left: Counter[str] = Counter()
        for (method, path, route), count in sorted(calls.items()):
            told = [each for name, each in view.answered.items() if route and name.startswith(route)]
            passed = min(sum(each[1] for each in told), count) if told else count
            who = "the front" if not passed else "MLflow" if passed == count else f"MLflow {passed}, else the front"
            print(f"  {count:4d}  {method:6s} {path:64s} {who}")
            if passed:
                left[f"`{path.rpartition('mlflow/')[2] or path}`"] += passed
        whole = sum(calls.values())
        named = ", ".join(path + (f" ({count})" if count > 1 else "") for path, count in sorted(left.items()))
        lines.append(f"| {view.name} | {whole} | {whole - sum(left.values())} | {named} |")
    print("\n| View | Calls | By the front | Passed on |\n|---|---:|---:|---|", *lines, sep="\n")


if __name__ == "__main__":
    main()
