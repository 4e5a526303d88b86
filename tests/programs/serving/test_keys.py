"""The serving API with HOMEPORT_SERVING_KEY: nobody asks a model without a key, and probes need none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import requests
from fastapi import FastAPI

from homeport.serving.api import application
from homeport.serving.feedback.routes import router
from homeport.serving.keys import OPEN
from tests.programs.database.programs import Program, eventually, free_port

OLD, NEW = "old-key-0123456789", "new-key:with/signs"
SCORING = (
    "/invocations", "/models/m/invocations", "/models/m@champion/invocations", "/models/m/versions/1/invocations",
    "/v2/models/m/infer", "/v2/models/m/versions/1/infer",
)  # fmt: skip


class Keyed:
    """A serving program whose registry is away: what it answers to strangers does not depend on models."""

    def __init__(self, room: Path, **env: str) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self.env = {
            "HOMEPORT_LISTEN_PORT": str(port),
            "HOMEPORT_SERVING_KEY": f"{OLD},{NEW}",
            "HOMEPORT_WEBHOOK_SECRET": "a webhook's secret",
            "HOMEPORT_SERVING_CACHE": str(room / "cache"),
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}",
            **env,
        }
        self.program = Program("homeport.serving", self.env, room)

    def up(self) -> Keyed:
        def answers() -> bool:
            assert self.program.process.poll() is None, self.program.said
            try:
                return requests.get(f"{self.url}/live", timeout=60).ok
            except requests.ConnectionError:
                return False

        eventually(answers, 60)
        return self

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        session = requests.Session()
        session.trust_env = False  # no ~/.netrc
        return session.request(method, self.url + path, timeout=60, allow_redirects=False, **more)


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    server = Keyed(tmp_path_factory.mktemp("keyed"))
    try:
        yield server.up()
    finally:
        server.program.end()


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Keyed]]:
    """Starts a server of the test's own."""
    made: list[Keyed] = []

    def start(**env: str) -> Keyed:
        made.append(Keyed(tmp_path / str(len(made)), **env))
        return made[-1]

    yield start
    for each in made:
        each.program.end()


def paths() -> set[str]:
    """Every path of the application, and of the scoring routes before it."""
    app: FastAPI = application(cast("Any", None), router(None), cast("Any", None))
    found = set(SCORING)
    routes: list[Any] = list(app.routes)
    for route in routes:
        for each in route.effective_route_contexts() if hasattr(route, "effective_route_contexts") else [route]:
            found.add(re.sub(r"\{[^}]*\}", "1", each.path))
    return found


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_every_route_needs_a_key_but_probes_and_the_signed_webhook(keyed: Keyed, method: str) -> None:
    every = paths()
    assert {"/", "/status", "/docs", "/openapi.json", "/reload", "/feedback", "/training-data", "/metrics"} <= every
    unasked = {path.decode() for path in OPEN}
    assert unasked <= every
    strange = {"/nothing", "/ready/", "//ready", "/v2", "/status?models=any"}
    for path in every | strange:
        answer = keyed.ask(method, path)
        wants_key = answer.status_code == 401 and "Homeport serving" in answer.headers.get("WWW-Authenticate", "")
        assert wants_key == (path not in unasked), path


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {NEW}"},
        {"Authorization": f"bearer  {OLD}"},
        {"X-API-Key": OLD},
        {"Authorization": "Basic bm90IGEga2V5", "X-API-Key": NEW},
    ],
)
def test_a_key_is_taken_in_each_of_its_forms(keyed: Keyed, headers: dict[str, str]) -> None:
    assert keyed.ask("GET", "/status", headers=headers).status_code == 200
    assert keyed.ask("POST", "/invocations", headers=headers, json={}).status_code == 404


def test_a_browser_or_mlflows_client_says_it_as_a_password_of_any_user(keyed: Keyed) -> None:
    page = keyed.ask("GET", "/", auth=("me", NEW), headers={"Accept": "text/html"})
    assert (page.status_code, "<title>" in page.text) == (200, True)
    assert keyed.ask("GET", "/docs", auth=("", OLD)).status_code == 200
    assert keyed.ask("GET", "/status", auth=(NEW, "")).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Token {OLD}"},
        {"Authorization": OLD},
        {"Authorization": f"Bearer {OLD}x"},
        {"Authorization": f"Bearer {OLD[:-1]}"},
        {"Authorization": f"Bearer {OLD},{NEW}"},
        {"Authorization": "Basic ???"},
        {"Authorization": "Basic b2xkLWtleQ=="},
        {"X-API-Key": ""},
        {"X-API-Key": OLD.upper()},
    ],
)
def test_what_is_no_key_is_401_in_the_protocols_own_form(keyed: Keyed, headers: dict[str, str]) -> None:
    mlflow = keyed.ask("POST", "/models/m/invocations", headers=headers, data=b"x" * 100_000)
    assert (mlflow.status_code, mlflow.json()["error_code"]) == (401, "UNAUTHENTICATED")
    assert "Authorization: Bearer KEY" in mlflow.json()["message"]
    assert mlflow.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert mlflow.headers["X-Request-Id"]
    oip = keyed.ask("POST", "/v2/models/m/infer", headers=headers, json={})
    assert (oip.status_code, list(oip.json())) == (401, ["error"])
    beside = keyed.ask("GET", "/v2/models/m", headers=headers)
    assert (beside.status_code, list(beside.json())) == (401, ["error"])
    assert beside.headers["X-Request-Id"]
    assert keyed.ask("GET", "/status", headers=headers).json()["error_code"] == "UNAUTHENTICATED"


def test_strangers_are_counted(keyed: Keyed) -> None:
    def counted() -> tuple[float, float]:
        page = keyed.ask("GET", "/metrics", headers={"X-API-Key": OLD}).text
        strangers = re.search(r"^homeport_serving_strangers_total (\S+)", page, re.MULTILINE)
        # One series for each model and protocol.
        refused = re.findall(r'^homeport_serving_requests_total\{.*status="401".*\} (\S+)', page, re.MULTILINE)
        return float(strangers[1]) if strangers else 0.0, sum(map(float, refused))

    before = counted()
    keyed.ask("GET", "/status")
    keyed.ask("POST", "/invocations", json={})
    # A request is counted after its answer.
    eventually(lambda: counted() == (before[0] + 2, before[1] + 1), 10)


def test_strangers_learn_whether_it_is_ready_and_nothing_else(keyed: Keyed) -> None:
    told = {"ready", "missing", "registry"}
    assert set(keyed.ask("GET", "/ready").json()) == told  # from this machine, as probes ask
    passed_on = {"X-Forwarded-For": "203.0.113.9"}
    assert set(keyed.ask("GET", "/ready?models=all", headers=passed_on).json()) == {"ready"}
    assert set(keyed.ask("GET", "/ready", headers={**passed_on, "X-API-Key": OLD}).json()) == told


def test_an_unsigned_webhook_is_refused_by_its_signature(keyed: Keyed) -> None:
    answer = keyed.ask("POST", "/webhooks/mlflow", json={})
    assert answer.status_code == 401
    assert "Signature" in answer.json()["message"]


def test_the_description_tells_of_the_key(keyed: Keyed) -> None:
    found = keyed.ask("GET", "/openapi.json", headers={"X-API-Key": OLD}).json()
    assert set(found["components"]["securitySchemes"]) == {"bearer", "header", "basic"}
    assert found["paths"]["/ready"]["get"]["security"] == []
    assert "401" in found["paths"]["/invocations"]["post"]["responses"]
    assert OLD not in str(found)


def test_no_key_is_ever_printed(keyed: Keyed) -> None:
    assert OLD not in keyed.program.said
    assert NEW not in keyed.program.said


def test_it_refuses_to_listen_for_others_without_a_key(launch: Callable[..., Keyed]) -> None:
    for env in ({}, {"HOMEPORT_AUTH": "basic"}):
        error = launch(HOMEPORT_SERVING_KEY="", HOMEPORT_LISTEN_HOST="0.0.0.0", **env).program.reason()
        assert error["code"] == "AUTHENTICATION_REQUIRED"
        assert "HOMEPORT_SERVING_KEY" in error["fix"]


def test_switched_off_in_so_many_words_no_key_is_asked_for(launch: Callable[..., Keyed]) -> None:
    server = launch(HOMEPORT_AUTH="off", HOMEPORT_LISTEN_HOST="0.0.0.0").up()
    assert server.ask("GET", "/status").status_code == 200
    assert "answers everybody who reaches 0.0.0.0: HOMEPORT_AUTH=off" in server.program.said


@pytest.mark.parametrize("key", ["kurz-9", "with a blank in it", f"{OLD},kurz-9", "größere-schlüssel"])
def test_a_key_that_could_be_guessed_or_lost_on_the_way_is_refused(launch: Callable[..., Keyed], key: str) -> None:
    program = launch(HOMEPORT_SERVING_KEY=key).program
    assert program.reason()["code"] == "SETTING_INVALID"
    assert key not in program.said
