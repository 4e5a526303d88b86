"""Clients that others wrote: tritonclient, schemathesis, MLflow's scoring client, and kserve's."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pytest
import requests
import schemathesis
import tritonclient.http as triton
from hypothesis import HealthCheck, given, settings
from mlflow.pyfunc.scoring_server.client import ScoringServerClient
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tritonclient.utils import InferenceServerException

from tests.e2e.served import Serving

ROOT = Path(__file__).resolve().parents[2]
ROW = [7.0, 0.27, 0.36, 20.7, 0.045, 45.0, 170.0, 1.001, 3.0, 0.45, 8.8]  # as in kserve_client.py
PENGUIN = {
    "island": "Biscoe", "sex": "female", "bill_length_mm": 46.1, "bill_depth_mm": 13.2, "flipper_length_mm": 211.0,
    "body_mass_g": 4500.0,
}  # fmt: skip
# What changes the server for other tests.
_LEFT_ALONE = ("/reload", "/repository/models", "/webhooks", "/feedback", "/training-data")


def no_failure_of_ours(context: Any, response: Any, case: Any) -> bool | None:
    """A 5xx is a failure, but for "not ready" when that is the question, and for a model that raised on odd values."""
    if response.status_code == 503 and case.operation.path.endswith("ready"):
        return None
    if response.status_code == 500 and b"the model raised" in response.content:
        return None
    found: bool | None = not_a_server_error(context, response, case)
    return found


_CHECKS = (no_failure_of_ours, status_code_conformance, content_type_conformance, response_schema_conformance)


@pytest.fixture
def client(serving: Serving) -> Iterator[Any]:
    """Triton's client."""
    made = triton.InferenceServerClient(urlsplit(serving.url).netloc, network_timeout=60.0)
    yield made
    made.close()


@pytest.fixture(scope="module")
def wine(serving: Serving) -> float:
    """What /invocations says about the row."""
    found = serving.post("/models/wine-quality/invocations", {"inputs": [_named(serving)]}).body["predictions"]
    return float(found[0])


def _columns(serving: Serving, model: str = "wine-quality") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = serving.get(f"/v2/models/{model}").body["inputs"]
    return found


def _named(serving: Serving) -> dict[str, float]:
    return {each["name"]: value for each, value in zip(_columns(serving), ROW, strict=True)}


def test_tritonclient_sees_a_server_and_models_that_are_ready(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("wine-quality")
    assert client.is_model_ready("wine-quality", "1")
    assert not client.is_model_ready("wine-quality", "999")
    assert not client.is_model_ready("nothing")


def test_tritonclient_reads_the_metadata(client: Any) -> None:
    assert client.get_server_metadata()["extensions"] == ["model_repository", "binary_tensor_data"]
    found = client.get_model_metadata("wine-quality")
    assert found["name"] == "wine-quality"
    assert [each["datatype"] for each in found["inputs"]] == ["FP64"] * len(ROW)
    assert client.get_model_metadata("wine-quality", "1") == found
    with pytest.raises(InferenceServerException) as caught:
        client.get_model_metadata("nothing")
    assert caught.value.status() == "404"


@pytest.mark.parametrize("version", ["", "1"])
@pytest.mark.parametrize("sent", [False, True], ids=["json in", "bytes in"])
@pytest.mark.parametrize("asked", [None, False, True], ids=["default out", "json out", "bytes out"])
def test_tritonclient_infers(client: Any, wine: float, version: str, sent: bool, asked: bool | None) -> None:
    tensor = triton.InferInput("input-0", [2, len(ROW)], "FP64")
    tensor.set_data_from_numpy(np.array([ROW, ROW]), binary_data=sent)
    outputs = None if asked is None else [triton.InferRequestedOutput("output-0", binary_data=asked)]
    answer = client.infer("wine-quality", [tensor], version, outputs, request_id="it is me")
    assert answer.as_numpy("output-0").ravel().tolist() == pytest.approx([wine, wine])
    said = answer.get_response()
    assert (said["id"], said["model_name"], said["model_version"]) == ("it is me", "wine-quality", "1")


@pytest.mark.parametrize("binary", [False, True], ids=["json", "bytes"])
def test_tritonclient_sends_texts_and_numbers_by_column(client: Any, serving: Serving, binary: bool) -> None:
    tensors = []
    for field in _columns(serving, "penguins"):
        value = PENGUIN[field["name"]]
        array = np.array([[value]], dtype=object if isinstance(value, str) else np.float64)
        tensor = triton.InferInput(field["name"], [1, 1], "BYTES" if isinstance(value, str) else "FP64")
        tensor.set_data_from_numpy(array, binary_data=binary)
        tensors.append(tensor)
    name = client.get_model_metadata("penguins")["outputs"][0]["name"]
    outputs = [triton.InferRequestedOutput(name, binary_data=binary)]
    found = client.infer("penguins", tensors, outputs=outputs).as_numpy(name).ravel()[0]
    expected = serving.post("/models/penguins/invocations", {"dataframe_records": [PENGUIN]}).body["predictions"][0]
    expected = next(iter(expected.values())) if isinstance(expected, dict) else expected
    assert (found.decode() if isinstance(found, bytes) else found) == expected


def test_tritonclient_reads_why_a_request_is_refused(client: Any) -> None:
    tensor = triton.InferInput("input-0", [1, 2], "FP64")
    tensor.set_data_from_numpy(np.array([[1.0, 2.0]]))
    with pytest.raises(InferenceServerException) as caught:
        client.infer("wine-quality", [tensor])
    assert caught.value.status() == "400"
    assert "the model" in caught.value.message()


def test_tritonclient_unloads_and_loads_a_model(client: Any) -> None:
    assert {row["name"] for row in client.get_model_repository_index()} >= {"wine-quality", "penguins"}
    client.unload_model("penguins")
    try:
        assert not client.is_model_ready("penguins")
    finally:
        client.load_model("penguins")
    assert client.is_model_ready("penguins")


def test_mlflows_own_client_is_answered(serving: Serving, wine: float) -> None:
    import mlflow

    where = urlsplit(serving.url)
    client = ScoringServerClient(str(where.hostname), int(where.port or 0))
    client.ping()  # raises unless 200
    assert client.get_version() == mlflow.__version__
    # It knows one path, and two models are served here: a path of its own, as behind a proxy.
    client.url_prefix = f"{serving.url}/models/wine-quality"
    found = client.invoke(pd.DataFrame([_named(serving)])).get_predictions()
    assert float(found.iloc[0, 0]) == pytest.approx(wine)


@pytest.mark.slow
def test_every_answer_is_one_the_openapi_document_promises(serving: Serving) -> None:
    schema = schemathesis.openapi.from_url(f"{serving.url}/openapi.json")
    tested = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        if any(part in operation.path for part in _LEFT_ALONE):
            continue
        _conforms(operation)
        tested += 1
    assert tested > 20


def _conforms(operation: Any) -> None:
    @settings(max_examples=8, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def check(case: Any) -> None:
        case.call_and_validate(checks=_CHECKS, timeout=60)

    check()


@pytest.fixture(scope="session")
def kserve(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with kserve in an environment of its own: its pins are not ours."""
    place = tmp_path_factory.mktemp("kserve") / "venv"
    uv = str(Path(sys.executable).with_name("uv"))
    for command in (
        [uv, "venv", "-q", "--python", sys.executable, str(place)],
        [uv, "pip", "install", "-q", "--require-hashes", "--python", str(place / "bin" / "python"),
         "-r", str(ROOT / "requirements" / "kserve.txt")],
    ):  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
        assert done.returncode == 0, done.stderr
    return place / "bin" / "python"


@pytest.mark.system
@pytest.mark.timeout(600)
def test_kserves_client_is_answered(kserve: Path, serving: Serving, wine: float) -> None:
    script = Path(__file__).with_name("kserve_client.py")
    done = subprocess.run(
        [str(kserve), "-W", "ignore", str(script), serving.url],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["live"], found["ready"], found["model"]) == (True, True, True)
    for place, (identity, name, values) in enumerate(found["answers"]):
        assert (identity, name) == (f"r{place}", "wine-quality")
        assert values == pytest.approx([wine])


def test_errors_of_v2_are_one_key(serving: Serving) -> None:
    for path in ("/v2/models/nothing", "/v2/nothing", "/v2/models/nothing/infer", "/v2/models/wine-quality/infer"):
        for method in ("get", "post"):
            answer = requests.request(method, serving.url + path, data=b"{", timeout=60)
            assert answer.status_code in {400, 404, 405}
            assert list(answer.json()) == ["error"]
