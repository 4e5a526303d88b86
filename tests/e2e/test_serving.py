"""The serving API of a whole platform: what a client sees of it, how it follows the registry, what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import requests

from tests.e2e.harness import Homeport, eventually
from tests.e2e.served import Models, Serving, constant_load

NewHome = Callable[..., Homeport]
ROW = {"columns": ["x"], "data": [[1.0]]}


@pytest.fixture
def models(serving: Serving, tmp_path: Path) -> Models:
    return Models(serving.platform.tracking_uri, tmp_path)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A registered model of the test's own."""
    return str(request.node.name)[:60].replace("[", "-").replace("]", "")


def test_up_serves_and_says_where(platform: Homeport) -> None:
    url = platform.env()["HOMEPORT_SERVING_URL"]
    assert platform.service("serving")["health"] == "healthy"
    assert platform.service("serving")["url"] == url
    welcome = requests.get(url, timeout=30)
    assert welcome.json()["message"] == "Welcome to the API service!"
    assert requests.get(f"{url}/v2/health/ready", timeout=30).json() == {"live": True, "ready": True}


@pytest.mark.slow
def test_a_platform_that_serves_nothing_has_no_serving_service(new_home: NewHome) -> None:
    home = new_home(HOMEPORT_SERVE="none")
    assert "Serving" not in home.up()
    assert "serving" not in {row["name"] for row in home.status()["services"]}
    assert "HOMEPORT_SERVING_URL" not in home.env()


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"HOMEPORT_SERVE": "wine-quality"}, "HOMEPORT_SERVE must"),
        ({"HOMEPORT_SERVE_TRAFFIC": "wine: champion 50"}, "add up to 100, found 50"),
        ({"HOMEPORT_PREDICTION_LOG": "2"}, "from 0 to 1"),
        ({"HOMEPORT_SERVING_ACCESS_LOG": "some"}, "one of: off, errors, all"),
        (
            {"HOMEPORT_PREDICTION_LOG": "1", "MLFLOW_BACKEND_STORE_URI": "postgresql://u@127.0.0.1:1/d"},
            "no database to keep predictions in",
        ),
    ],
)
def test_a_wrong_serving_setting_is_refused_before_anything_starts(
    new_home: NewHome, variables: dict[str, str], said: str
) -> None:
    assert said in new_home(**variables).refused("up", "--detach", exit_code=2)["text"]


def test_the_reference_models_answer_with_their_own_predictions(serving: Serving, wine_csv: Path) -> None:
    import mlflow

    table = pd.read_csv(wine_csv, sep=None, engine="python").iloc[:20, :11].astype(float)
    mlflow.set_tracking_uri(serving.platform.tracking_uri)
    expected = mlflow.pyfunc.load_model("models:/wine-quality@champion").predict(table)
    split = table.to_dict(orient="split")
    answer = serving.predict("wine-quality", {"columns": split["columns"], "data": split["data"]})
    assert answer.body["predictions"] == [float(value) for value in expected]
    assert serving.models()["wine-quality"]["predictor"] == "compiled trees"


def test_every_answer_says_who_gave_it(serving: Serving, wine_csv: Path) -> None:
    example = serving.models()["penguins"]["example"]
    answer = serving.post("/models/penguins/invocations", example, **{"X-Request-Id": "mine-1"})
    assert answer.status == 200
    assert answer.headers["x-model-name"] == "penguins"
    assert answer.headers["x-model-version"] == "1"
    assert answer.headers["x-request-id"] == "mine-1"
    refused = serving.post("/models/penguins/invocations", {"nothing": 1})
    assert (refused.status, refused.headers["x-model-version"]) == (400, "1")
    ids = {serving.get("/v2").headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3


def test_a_program_gets_json_and_a_browser_gets_a_page(serving: Serving) -> None:
    program, browser = serving.get("/"), serving.get("/", Accept="text/html")
    assert program.body["message"] == "Welcome to the API service!"
    assert "wine-quality/1" in program.body["models"]
    assert browser.headers["content-type"].startswith("text/html")
    assert "wine-quality" in browser.body
    assert "default-src 'none'" in browser.headers["content-security-policy"]


def test_reload_reaches_every_worker(serving: Serving) -> None:
    workers = serving.reload()["workers"]
    count = serving.get("/status").body["workers"]
    assert [worker["worker"] for worker in workers] == list(range(count))
    assert len({worker["pid"] for worker in workers}) == count
    assert all(worker["ok"] for worker in workers)


@pytest.mark.slow
def test_a_moved_alias_is_followed_by_itself_in_every_worker(serving: Serving, models: Models, name: str) -> None:
    models.point(name, "champion", models.constant(name, 1.0))
    serving.serves(name, "1")
    assert serving.predict(name, ROW).body == {"predictions": [1.0]}
    models.point(name, "champion", models.constant(name, 2.0))
    serving.serves(name, "2")
    answer = serving.predict(name, ROW)
    assert (answer.version, answer.body) == ("2", {"predictions": [2.0]})
    gone = serving.post(f"/models/{name}/versions/1/invocations", {"dataframe_split": ROW})
    assert gone.status == 404


@pytest.mark.slow
def test_reload_is_done_when_it_answers(serving: Serving, models: Models, name: str) -> None:
    for value in (1.0, 2.0, 3.0):
        models.point(name, "champion", models.constant(name, value))
        changes = [change for worker in serving.reload()["workers"] for change in worker["changes"]]
        assert {change["to"] for change in changes if change["name"] == name} <= {str(int(value))}
        for _ in range(8):
            assert serving.predict(name, ROW).body == {"predictions": [value]}


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_leaves_the_old_one_serving(serving: Serving, models: Models, name: str) -> None:
    models.point(name, "champion", models.constant(name, 1.0))
    serving.reload()
    broken = "class Model(PythonModel):\n    def load_context(self, context):\n        raise RuntimeError('broken')\n"
    broken += "    def predict(self, context, model_input, params=None):\n        return [0.0]\n"
    models.point(name, "champion", models.script(name, broken))
    answer = serving.post("/reload")
    assert answer.status == 503
    failures = [failure for worker in answer.body["workers"] for failure in worker["failures"]]
    assert {(failure["name"], failure["version"]) for failure in failures} == {(name, "2")}
    assert serving.predict(name, ROW).version == "1"
    metrics = serving.get("/metrics").body
    assert f'homeport_serving_reload_failures_total{{model="{name}"}}' in metrics
    assert serving.get("/ready").status == 200
    assert name in serving.get("/ready?models=all").body["missing"]
    models.point(name, "champion", "1")
    serving.reload()


@pytest.mark.slow
def test_two_versions_with_modules_of_the_same_name_run_each_their_own_code(
    serving: Serving, models: Models, name: str, tmp_path: Path
) -> None:
    source = (
        "class Model(PythonModel):\n    def predict(self, context, model_input, params=None):\n"
        "        from answers import VALUE\n        return [VALUE] * len(model_input)\n"
    )
    for version, value in (("1", 1.0), ("2", 2.0)):
        code = tmp_path / version / "answers.py"
        code.parent.mkdir()
        code.write_text(f"VALUE = {value}\n")
        models.script(name, source, code)
        models.point(name, "champion" if version == "1" else "challenger", version)
    models.client.set_registered_model_alias(name, "champion", "1")
    serving.reload()
    assert serving.predict(name, ROW).body == {"predictions": [1.0]}
    models.point(name, "champion", "2")
    serving.reload()
    for _ in range(4):
        assert serving.predict(name, ROW).body == {"predictions": [2.0]}
    assert serving.models()[name]["isolated"]


@pytest.mark.parametrize(
    ("path", "content", "kind", "status"),
    [
        ("/invocations", b"{}", "application/json", 404),
        ("/models/nobody/invocations", b"{}", "application/json", 404),
        ("/models/penguins/versions/99/invocations", b"{}", "application/json", 404),
        ("/models/penguins@nobody/invocations", b"{}", "application/json", 404),
        ("/models/penguins/invocations", b"not json", "application/json", 400),
        ("/models/penguins/invocations", b"[]", "application/json", 400),
        ("/models/penguins/invocations", b"{}", "text/plain", 415),
        ("/models/penguins/invocations?strict=maybe", b"{}", "application/json", 400),
        ("/v2/models/penguins/infer", b"not json", "application/json", 400),
        ("/v2/models/penguins/infer", b'{"inputs": 3}', "application/json", 400),
        ("/v2/models/nobody/infer", b"{}", "application/json", 404),
        ("/v2/nothing", b"{}", "application/json", 404),
        ("/v2/repository/models/nobody/load", b"{}", "application/json", 404),
        ("/feedback", b"[", "application/json", 409),
        ("/nothing", b"", "application/json", 404),
    ],
)
def test_a_wrong_request_is_refused_in_its_protocols_own_form(
    serving: Serving, path: str, content: bytes, kind: str, status: int
) -> None:
    answer = requests.post(serving.url + path, data=content, headers={"content-type": kind}, timeout=30)
    assert answer.status_code == status, answer.text
    found = answer.json()
    if path.startswith("/v2"):
        assert list(found) == ["error"]
    else:
        assert set(found) == {"error_code", "message"}
    assert "Traceback" not in answer.text
    assert answer.headers["x-request-id"]


def test_a_wrong_method_is_405_and_says_which_is_right(serving: Serving) -> None:
    answer = requests.get(f"{serving.url}/models/penguins/invocations", timeout=30)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.slow
def test_a_model_that_fails_is_our_fault_and_tells_nothing_of_itself(
    serving: Serving, models: Models, name: str
) -> None:
    source = (
        "class Model(PythonModel):\n    def predict(self, context, model_input, params=None):\n"
        "        if (model_input['x'] > 5).any():\n            raise RuntimeError('secret inside')\n"
        "        return [0.0] * len(model_input)\n"
    )
    models.point(name, "champion", models.script(name, source))
    serving.reload()
    assert serving.predict(name, ROW).status == 200
    answer = serving.predict(name, {"columns": ["x"], "data": [[6.0]]})
    assert (answer.status, answer.body["error_code"]) == (500, "INTERNAL_ERROR")
    assert "secret" not in json.dumps(answer.body)


def test_another_sites_page_cannot_steer_the_server(serving: Serving) -> None:
    assert serving.post("/reload", **{"Sec-Fetch-Site": "cross-site"}).status == 403
    assert serving.post("/v2/repository/models/penguins/unload", **{"Sec-Fetch-Site": "cross-site"}).status == 403


def test_an_unloaded_model_comes_back_when_it_is_loaded(serving: Serving, models: Models, name: str) -> None:
    models.point(name, "champion", models.constant(name, 1.0))
    serving.reload()
    assert serving.post(f"/v2/repository/models/{name}/unload", {}).status == 200
    assert {serving.predict(name, ROW).status for _ in range(8)} == {404}
    index = {row["name"]: row["state"] for row in serving.post("/v2/repository/index", {}).body}
    assert index[name] == "UNAVAILABLE"
    assert serving.post(f"/v2/repository/models/{name}/load", {}).status == 200
    assert {serving.predict(name, ROW).status for _ in range(8)} == {200}


def test_metrics_count_every_workers_answers_on_one_page(serving: Serving, models: Models, name: str) -> None:
    models.point(name, "champion", models.constant(name, 1.0))
    serving.reload()
    for _ in range(20):
        assert serving.predict(name, ROW).status == 200
    row = serving.models()[name]
    assert (row["requests"], row["failed"], row["in_flight"]) == (20, 0, 0)
    assert 0 < row["latency"]["p50"] <= row["latency"]["p99"]
    wanted = f'homeport_serving_requests_total{{model="{name}",protocol="mlflow",status="200",version="1"}} 20.0'
    assert wanted in serving.get("/metrics").body
    eventually(lambda: f'alias="champion",model="{name}"' in serving.get("/metrics").body)


def test_kept_connections_are_shared_out_over_the_workers(serving: Serving) -> None:
    sessions = [requests.Session() for _ in range(24)]
    try:
        pids = set()
        for session in sessions:
            found = session.get(f"{serving.url}/v2/health/live", timeout=30)
            pids.add(found.headers["x-request-id"].split("-")[0])
        assert len(pids) == serving.get("/status").body["workers"]
    finally:
        for session in sessions:
            session.close()


@pytest.mark.slow
def test_a_hundred_alias_moves_under_load_fail_no_request_and_mix_no_answer(
    serving: Serving, models: Models, name: str
) -> None:
    values = {models.constant(name, value): value for value in (1.0, 2.0)}
    models.point(name, "champion", "1")
    serving.reload()
    with constant_load(serving.url, name) as load:
        for move in range(100):
            models.point(name, "champion", "2" if move % 2 == 0 else "1")
            serving.reload()
    assert not load.errors
    assert {status for status, _, _ in load.answers} == {200}
    assert all(values[version] == value for _, version, value in load.answers)
    assert {version for _, version, _ in load.answers} == {"1", "2"}
    assert len(load.answers) > 1000
