"""What a served model goes on through: the registry, the database, a worker or the cache is taken away under load."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests

from homeport.supervisor.ports import choose
from tests.e2e.harness import Homeport, eventually
from tests.e2e.served import Models, Serving, constant_load

pytestmark = pytest.mark.slow

ROW = {"dataframe_split": {"columns": ["x"], "data": [[1.0]]}}
WORKERS = 2


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Homeport]:
    environ = {"HOMEPORT_SERVING_WORKERS": str(WORKERS), "HOMEPORT_SERVING_POLL": "1"}
    with Homeport(tmp_path_factory.mktemp("serving") / "home", environ) as running:
        running.up()
        yield running


@pytest.fixture
def models(platform: Homeport, tmp_path: Path) -> Models:
    platform.up()
    return Models(platform.tracking_uri, tmp_path)


@pytest.fixture
def steady(platform: Homeport, models: Models) -> Serving:
    """One model in service, its version's number its answer."""
    if not models.client.search_registered_models("name='steady'"):
        models.point("steady", "champion", models.constant("steady", 1.0))
    served = Serving(platform)
    served.serves("steady", "1")
    return served


def workers(platform: Homeport) -> list[psutil.Process]:
    return psutil.Process(int(platform.service("serving")["pid"])).children()


@pytest.mark.parametrize("service", ["tracking", "database", "objectstore"])
def test_a_killed_part_behind_the_registry_costs_no_prediction(
    platform: Homeport, steady: Serving, service: str
) -> None:
    with constant_load(steady.url, "steady") as load:
        before = platform.service(service)["restarts"]
        os.kill(int(platform.service(service)["pid"]), signal.SIGKILL)
        eventually(lambda: platform.service(service)["restarts"] > before, what="the restart")
        eventually(lambda: platform.status()["ready"], 120, "the platform ready again")
        answered = len(load.answers)
        eventually(lambda: len(load.answers) > answered + 100)
    assert not load.errors
    assert {(status, value) for status, _, value in load.answers} == {(200, 1.0)}


def test_the_alias_is_followed_again_after_the_registry_was_away(
    platform: Homeport, steady: Serving, models: Models
) -> None:
    name = "back-again"
    models.point(name, "champion", models.constant(name, 1.0))
    steady.serves(name, "1")
    pid = int(platform.service("tracking")["pid"])
    tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for process in tree:
        process.suspend()
    try:
        # Every worker asks every second; the one that is asked now must have noticed.
        eventually(lambda: not steady.get("/status").body["registry"]["reachable"], 120, "the registry seen as away")
        assert steady.post(f"/models/{name}/invocations", ROW).body == {"predictions": [1.0]}
        assert steady.get("/ready").status == 200
    finally:
        for process in tree:
            process.resume()
    eventually(lambda: platform.status()["ready"], 120)
    models.point(name, "champion", models.constant(name, 2.0))
    steady.serves(name, "2", 120)


def test_a_killed_worker_is_replaced_and_the_other_answers_meanwhile(platform: Homeport, steady: Serving) -> None:
    victim = workers(platform)[0]
    clients = 4
    with constant_load(steady.url, "steady", clients) as load:
        eventually(lambda: len(load.answers) > 50)
        victim.kill()
        eventually(lambda: len([each for each in workers(platform) if each.pid != victim.pid]) == WORKERS)
        steady.serves("steady", "1")
        answered = len(load.answers)
        eventually(lambda: len(load.answers) > answered + 100)
    # Only what was on the killed worker's connections, or waiting for its replacement to load the model.
    assert len(load.errors) <= clients
    assert {status for status, _, _ in load.answers} <= {200, 503}
    assert platform.service("serving")["restarts"] == 0
    assert len(steady.reload()["workers"]) == WORKERS


def test_what_is_under_way_at_sigterm_is_answered(platform: Homeport, steady: Serving, models: Models) -> None:
    name = "slow"
    source = (
        "import time\nclass Model(PythonModel):\n    def predict(self, context, model_input, params=None):\n"
        "        time.sleep(2)\n        return [1.0] * len(model_input)\n"
    )
    models.point(name, "champion", models.script(name, source))
    steady.reload()
    pid = int(platform.service("serving")["pid"])
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(steady.post, f"/models/{name}/invocations", ROW) for _ in range(4)]

        def under_way() -> bool:
            served = [worker["served"] for worker in steady.get("/status?workers=true").body["each_worker"]]
            mine = [row["in_flight"] for rows in served for key, row in rows.items() if key == f"{name}/1"]
            return sum(int(count) for count in mine) == len(asked)

        eventually(under_way)
        os.kill(pid, signal.SIGTERM)
        assert [each.result().status for each in asked] == [200] * 4
    eventually(lambda: platform.service("serving")["health"] == "healthy", 120)


def test_a_corrupted_model_in_the_cache_is_fetched_again(platform: Homeport, steady: Serving) -> None:
    cache = platform.home / "data" / "serving"
    files = [file for file in cache.rglob("MLmodel") if "steady" in str(file)]
    assert files
    for file in files:
        file.write_text("not a model")
    platform.ok("restart", "serving")
    fresh = Serving(platform)
    fresh.serves("steady", "1")
    assert fresh.post("/models/steady/invocations", ROW).body == {"predictions": [1.0]}


@contextmanager
def alone(cache: Path, log: Path, **environ: str) -> Iterator[str]:
    """A serving program without a platform: its registry is nowhere."""
    port, nowhere = choose(set()), choose(set())
    neutral = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    environ = {
        **neutral, "HOMEPORT_LISTEN_PORT": str(port), "HOMEPORT_WORKERS": str(WORKERS),
        "HOMEPORT_SERVING_CACHE": str(cache), "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{nowhere}",
        "MLFLOW_DISABLE_TELEMETRY": "true", **environ,
    }  # fmt: skip
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "homeport.serving"], env=environ, stdout=out, stderr=out, stdin=subprocess.DEVNULL
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def test_a_server_started_while_the_registry_is_away_serves_the_last_good_version(
    platform: Homeport, steady: Serving, tmp_path: Path
) -> None:
    platform.ok("down")
    with alone(platform.home / "data" / "serving", tmp_path / "log") as url:

        def answered() -> bool:
            answer = requests.post(f"{url}/models/steady/invocations", json=ROW, timeout=30)
            return bool(answer.json() == {"predictions": [1.0]})

        eventually(answered, 60, "the last good version")
        status = requests.get(f"{url}/status", timeout=30).json()
        assert not status["registry"]["reachable"]
        assert requests.get(f"{url}/ready", timeout=30).status_code == 200
    assert steady.platform.run("status").returncode != 0


def test_with_an_empty_cache_and_no_registry_it_is_ready_for_nothing_and_says_so(tmp_path: Path) -> None:
    with alone(tmp_path / "cache", tmp_path / "log", HOMEPORT_SERVE="wine@champion") as url:
        eventually(lambda: requests.get(f"{url}/ready", timeout=5).status_code == 200)
        answer = requests.post(f"{url}/invocations", json=ROW, timeout=30)
        assert answer.status_code == 404
        assert requests.get(f"{url}/ready?models=all", timeout=30).status_code == 503
        assert requests.get(f"{url}/ping", timeout=30).status_code == 404


def test_nothing_of_the_server_is_left_when_its_master_is_killed(tmp_path: Path) -> None:
    with alone(tmp_path / "cache", tmp_path / "log") as url:
        eventually(lambda: requests.get(f"{url}/ready", timeout=5).status_code == 200)
        pid = next(each.pid for each in psutil.Process().children() if "homeport.serving" in " ".join(each.cmdline()))
        below = psutil.Process(pid).children(recursive=True)
        assert len(below) >= WORKERS
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not any(each.is_running() and each.status() != "zombie" for each in below))
    assert "Traceback" not in json.dumps((tmp_path / "log").read_text())
