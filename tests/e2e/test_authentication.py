"""A platform with HOMEPORT_AUTH=basic: everything works for who logs in, in every command, and nothing for others."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.documents import ROOT, console_blocks
from tests.e2e.harness import Homeport, eventually

pytestmark = pytest.mark.slow
NewHome = Callable[..., Homeport]
EXPERIMENTS = "/api/2.0/mlflow/experiments/search?max_results=1"
PREDICT = ("run", "--", "python", str(ROOT / "examples" / "predict.py"), "penguins")


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Homeport, str]]:
    """One platform for all tests that only use it, and its box. One worker: nothing is remembered elsewhere."""
    with Homeport(
        tmp_path_factory.mktemp("guarded") / "home", {"HOMEPORT_AUTH": "basic", "HOMEPORT_WORKERS": "1"}
    ) as home:
        yield home, home.up()


@pytest.fixture(scope="module")
def guarded(started: tuple[Homeport, str]) -> Homeport:
    """That platform with a served model."""
    home, _ = started
    home.ok("train", "penguins")
    home.ok(*PREDICT)
    return home


def secret(home: Homeport, name: str) -> str:
    return (home.home / "secrets" / name).read_text().strip()


def ask(url: str, user: str = "", password: str = "", method: str = "GET", **more: object) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False  # no ~/.netrc
        return session.request(method, url, auth=(user, password) if user else None, timeout=60, **more)  # type: ignore[arg-type] # requests' own names


def test_the_box_says_who_logs_in_and_where_the_password_is_and_never_the_password(
    started: tuple[Homeport, str],
) -> None:
    home, box = started
    assert re.search(r"Log in\s+admin, password in .*/secrets/admin-password", box)
    assert 'eval "$(' in box
    assert secret(home, "admin-password") not in box
    for log in (home.home / "logs").iterdir():
        assert secret(home, "admin-password") not in log.read_text(errors="replace")


def test_strangers_get_nothing_from_either_server(guarded: Homeport) -> None:
    env = guarded.env()
    tracking, serving = env["MLFLOW_TRACKING_URI"], env["HOMEPORT_SERVING_URL"]
    assert ask(tracking + EXPERIMENTS).status_code == 401
    assert ask(tracking + EXPERIMENTS, "admin", "a wrong password").status_code == 401
    assert ask(serving + "/status").status_code == 401
    assert ask(serving + "/models/penguins/invocations", method="POST", json={}).status_code == 401
    for open_to_all in (f"{tracking}/health", f"{tracking}/ready", f"{serving}/ready", f"{serving}/live"):
        assert ask(open_to_all).status_code == 200


def test_env_logs_a_client_in_everywhere(guarded: Homeport) -> None:
    env = guarded.env()
    user, password = env["MLFLOW_TRACKING_USERNAME"], env["MLFLOW_TRACKING_PASSWORD"]
    assert (user, password) == ("admin", secret(guarded, "admin-password"))
    assert ask(env["MLFLOW_TRACKING_URI"] + EXPERIMENTS, user, password).status_code == 200
    assert env["HOMEPORT_SERVING_KEY"] == secret(guarded, "serving-key")
    key = {"X-API-Key": env["HOMEPORT_SERVING_KEY"]}
    assert ask(env["HOMEPORT_SERVING_URL"] + "/status", headers=key).status_code == 200


def test_what_env_exported_is_no_setting_of_the_next_start(guarded: Homeport) -> None:
    exported: dict[str, Any] = guarded.env()
    shown = json.loads(guarded.ok("config", "show", "--json", **exported))
    assert secret(guarded, "serving-key") not in str(shown)
    assert "HOMEPORT_SERVING_KEY" in guarded.env()["HOMEPORT_EXPORTED"].split(",")


def test_a_shell_that_does_not_know_the_setting_is_a_client_all_the_same(guarded: Homeport) -> None:
    assert "penguins version" in guarded.ok(*PREDICT, HOMEPORT_AUTH="")


def test_mlflows_own_scoring_client_takes_the_key_as_a_password(guarded: Homeport) -> None:
    """In front of the host: it knows no headers."""
    source = """
import os
from urllib.parse import urlsplit
import pandas as pd, requests
from mlflow.pyfunc.scoring_server.client import ScoringServerClient
url, key = urlsplit(os.environ["HOMEPORT_SERVING_URL"]), os.environ["HOMEPORT_SERVING_KEY"]
models = requests.get(url.geturl() + "/status", headers={"X-API-Key": key}).json()["models"]
frame = pd.DataFrame(**models[0]["example"]["dataframe_split"])
client = ScoringServerClient(f"homeport:{key}@{url.hostname}", f"{url.port}/models/penguins")
print(client.invoke(frame).get_predictions().iloc[0, 0])
"""
    assert guarded.ok("run", "--", "python", "-W", "ignore", "-c", source).strip() in {"Adelie", "Gentoo", "Chinstrap"}


def test_the_page_opens_in_a_browser_that_was_given_the_key(guarded: Homeport, chromium: str, tmp_path: Path) -> None:
    env = guarded.env()
    url = env["HOMEPORT_SERVING_URL"].replace("http://", f"http://me:{env['HOMEPORT_SERVING_KEY']}@")
    done = subprocess.run(
        [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}",
            "--virtual-time-budget=5000", "--dump-dom", url + "/",
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "penguins" in done.stdout, done.stderr


def test_doctor_and_the_pages_behind_the_key_know_their_way(guarded: Homeport) -> None:
    rows = {row["name"]: row for row in json.loads(guarded.run("doctor", "--json").stdout)["checks"]}
    assert rows["login"]["status"] == "pass"
    assert (rows["serving"]["status"], rows["serving"]["message"]) == ("pass", "1 models served")


def test_who_has_an_account_of_their_own_keeps_it(guarded: Homeport) -> None:
    made = {"username": "ada", "password": "lovelace-1815"}
    create = guarded.tracking_uri + "/api/2.0/mlflow/users/create"
    assert ask(create, "admin", secret(guarded, "admin-password"), "POST", json=made).status_code == 200
    own: dict[str, Any] = {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "lovelace-1815"}
    source = "import os; print(os.environ['MLFLOW_TRACKING_USERNAME'], os.environ['MLFLOW_TRACKING_PASSWORD'])"
    assert guarded.ok("run", "--", "python", "-c", source, **own).split() == list(own.values())
    assert guarded.refused("train", "penguins", exit_code=1, timeout=120, **own)["code"] == "TRACKING_DENIED"


def test_the_plugin_and_the_python_api_log_in(tmp_path: Path) -> None:
    source = (
        "import sys, subprocess, homeport\n"
        "from pathlib import Path\n"
        "with homeport.Platform.private(Path(sys.argv[1]), auth='basic', serve='none') as platform:\n"
        "    code = 'import mlflow; print(mlflow.set_experiment(chr(120)).name)'\n"
        "    subprocess.run([sys.executable, '-W', 'ignore', '-c', code], env=platform.client_environ(), check=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", source, str(tmp_path / "home")],
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, "x"), done.stderr


def test_users_secrets_and_a_password_of_ones_own_survive_a_restart(new_home: NewHome) -> None:
    home = new_home(HOMEPORT_AUTH="basic", HOMEPORT_SERVE="none", HOMEPORT_WORKERS="1")
    home.up()
    generated = secret(home, "admin-password")
    update = "/api/2.0/mlflow/users/update-password"
    change = {"username": "admin", "password": "a password of one's own", "current_password": generated}
    assert ask(home.tracking_uri + update, "admin", generated, "PATCH", json=change).status_code == 200
    home.ok("down")
    home.up()
    assert ask(home.tracking_uri + EXPERIMENTS, "admin", "a password of one's own").status_code == 200
    assert ask(home.tracking_uri + EXPERIMENTS, "admin", generated).status_code == 401
    rows = {row["name"]: row for row in json.loads(home.run("doctor", "--json").stdout)["checks"]}
    assert rows["login"]["status"] == "warn"
    home.ok("down")
    (home.home / "secrets" / "admin-password").write_text("a new secret file\n")
    home.up()
    assert ask(home.tracking_uri + EXPERIMENTS, "admin", "a new secret file").status_code == 200


def test_a_password_given_as_a_setting_is_never_guessed_by_another_shell(new_home: NewHome) -> None:
    home = new_home(HOMEPORT_AUTH="basic", HOMEPORT_SERVE="none")
    given: dict[str, Any] = {"MLFLOW_AUTH_ADMIN_PASSWORD": "given-as-a-setting"}
    home.ok("up", "--detach", **given)
    assert home.refused("env", exit_code=1)["code"] == "CREDENTIALS_UNKNOWN"
    env = json.loads(home.ok("env", "--json", **given))
    assert env["MLFLOW_TRACKING_PASSWORD"] == "given-as-a-setting"
    assert not (home.home / "secrets" / "admin-password").exists()


def test_a_wrong_password_of_servings_own_is_said_and_not_tried_on_and_on(guarded: Homeport) -> None:
    """Last: it breaks the platform's own account, and a start mends it."""
    update = guarded.tracking_uri + "/api/2.0/mlflow/users/update-password"
    change = {"username": "homeport-serving", "password": "changed by somebody"}
    assert ask(update, "admin", secret(guarded, "admin-password"), "PATCH", json=change).status_code == 200
    env = guarded.env()

    def registry() -> dict[str, object]:
        answer = ask(env["HOMEPORT_SERVING_URL"] + "/status", headers={"X-API-Key": env["HOMEPORT_SERVING_KEY"]})
        found = answer.json()["registry"]
        assert isinstance(found, dict)
        return found

    eventually(lambda: "MLFLOW_TRACKING_USERNAME or _PASSWORD" in str(registry()["error"]), 60, "the refusal is told")
    assert "penguins version" in guarded.ok(*PREDICT)  # what is served goes on
    said = guarded.ok("logs", "serving")
    assert 1 <= said.count("wants another user or password") <= 4
    guarded.ok("down")
    guarded.up()
    eventually(lambda: registry()["reachable"], 60, "the account is mended by the start")


def test_every_command_on_the_page_runs(new_home: NewHome) -> None:
    home = new_home()
    page = ROOT / "docs" / "how-to" / "secure.md"
    for block in console_blocks(page):
        script = "set -eu\n" + "\n".join(command for command, _ in block)
        path = f"{Path(sys.executable).parent}:{home.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", script], env={**home.environ, "PATH": path}, cwd=ROOT, capture_output=True, text=True,
            timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        assert "penguins version 1 says" in done.stdout
