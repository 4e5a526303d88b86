"""The whole loop: a training container logs, registers and promotes; serving answers through the gateway over TLS."""

from __future__ import annotations

import json

import pytest

from tests.compose.project import Stack
from tests.e2e.harness import eventually

_BUCKET = """
import boto3, os, pathlib
def secret(name): return pathlib.Path('/run/secrets', name).read_text().strip()
s3 = boto3.client('s3', endpoint_url='http://objectstore:8333', region_name='us-east-1',
                  aws_access_key_id=secret('objectstore-access-key'),
                  aws_secret_access_key=secret('objectstore-secret-key'))
print('\\n'.join(found['Key'] for page in s3.get_paginator('list_objects_v2').paginate(Bucket='mlflow')
                for found in page.get('Contents', [])))
"""
_PENGUIN: dict[str, object] = {
    "bill_length_mm": 39.1,
    "bill_depth_mm": 18.7,
    "flipper_length_mm": 181.0,
    "body_mass_g": 3750.0,
}
_PENGUIN |= {"island": "Torgersen", "sex": "male", "year": 2007}


def test_the_training_profile_logs_a_run_registers_its_model_and_promotes_it(trained: Stack) -> None:
    version = trained.api("registered-models/alias?name=penguins&alias=champion")["model_version"]
    run = trained.api(f"runs/get?run_id={version['run_id']}")["run"]
    assert run["info"]["status"] == "FINISHED"
    assert {metric["key"]: metric["value"] for metric in run["data"]["metrics"]}["accuracy"] > 0.9
    user = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
    assert user


def test_its_artifacts_are_in_the_bucket(trained: Stack) -> None:
    keys = trained.execute("tracking", "python", "-c", _BUCKET).splitlines()
    assert [key for key in keys if key.endswith("/MLmodel")]


def test_serving_answers_through_the_gateway_over_tls(trained: Stack) -> None:
    description = trained.serving("/v2/models/penguins").json
    row = {name["name"]: _PENGUIN[name["name"]] for name in description["inputs"]}
    answer = trained.serving("/invocations", {"dataframe_records": [row]})
    assert answer.status == 200, answer
    assert answer.json["predictions"] == ["Adelie"]


@pytest.mark.parametrize("key", ["", "wrong"])
def test_serving_tells_nothing_without_its_key(trained: Stack, key: str) -> None:
    assert trained.serving("/v2/models/penguins", key=key).status == 401
    assert trained.serving("/invocations", {"dataframe_records": [_PENGUIN]}, key=key).status == 401


def test_a_client_outside_loads_the_model_through_the_gateway(trained: Stack) -> None:
    source = "import mlflow; print(type(mlflow.pyfunc.load_model('models:/penguins@champion')).__name__)"
    assert trained.ok("run", "--", "python", "-W", "ignore", "-c", source, timeout=60).split() == ["PyFuncModel"]


def test_another_alias_is_served_without_a_restart(trained: Stack) -> None:
    before = trained.inspect("serving")["State"]["StartedAt"]
    trained.composed("--profile", "training", "run", "--rm", "-T", "training")
    versions = trained.api("model-versions/search?filter=name%3D%27penguins%27")["model_versions"]
    newest = max(int(version["version"]) for version in versions)
    trained.api("registered-models/alias", {"name": "penguins", "alias": "champion", "version": str(newest)})
    trained.serves("penguins", str(newest))
    assert trained.inspect("serving")["State"]["StartedAt"] == before


def test_the_load_test_runs_beside_the_platform_and_finds_every_answer_right(trained: Stack) -> None:
    asked = ["-e", "LOCUST_USERS=8", "-e", "LOCUST_RUN_TIME=8s", "-e", "HOMEPORT_LOAD_PAUSE=0.02"]
    report = trained.composed("--profile", "loadtest", "run", "--rm", "-T", *asked, "loadtest")
    kinds = {line.split("|")[1].split()[0] for line in report.splitlines() if line.startswith("| ")}
    assert {"writer", "reader", "predictor", "artifacts"} <= kinds, report


@pytest.mark.parametrize("path", ["/", "/api/2.0/mlflow/experiments/search", "/version", "/graphql", "/metrics"])
def test_tracking_lets_nobody_in_without_a_password(running: Stack, path: str) -> None:
    assert running.call(running.tracking_uri + path).status in {401, 403, 404}
    wrong = running.basic(password="wrong")
    assert running.call(running.tracking_uri + path, headers=wrong).status in {401, 403, 404}


def test_http_leads_to_https(running: Stack) -> None:
    answer = running.call(f"http://mlflow.localhost:{running.http}/somewhere?a=1")
    assert answer.status in {301, 308}
    assert answer.headers["Location"] == f"{running.tracking_uri}/somewhere?a=1"


def test_another_host_name_is_not_answered(running: Stack) -> None:
    for host in ("evil.example.org", "mlflow.localhost.evil.example.org"):
        answer = running.call(f"{running.tracking_uri}/health", headers={"host": host, **running.basic()})
        assert answer.status in {403, 404, 421}, (host, answer)


def test_a_large_artifact_passes_the_gateway_both_ways(running: Stack) -> None:
    source = (
        "import hashlib, mlflow, os, pathlib, tempfile\n"
        "data = os.urandom(64 << 20)\n"
        "with tempfile.TemporaryDirectory() as place, mlflow.start_run() as run:\n"
        "    path = pathlib.Path(place, 'large.bin'); path.write_bytes(data)\n"
        "    mlflow.log_artifact(str(path)); path.unlink()\n"
        "    where = {'run_id': run.info.run_id, 'artifact_path': 'large.bin', 'dst_path': place}\n"
        "    got = mlflow.artifacts.download_artifacts(**where)\n"
        "    print(hashlib.sha256(pathlib.Path(got).read_bytes()).digest() == hashlib.sha256(data).digest())\n"
    )
    assert running.ok("run", "--", "python", "-W", "ignore", "-c", source, timeout=120).split()[0] == "True"


def test_metrics_of_no_part_are_public(running: Stack) -> None:
    for url in (running.tracking_uri, running.serving_url):
        assert running.call(f"{url}/metrics").status == 403
    found = json.loads(running.composed("config", "--format", "json"))["services"]["gateway"]["ports"]
    assert {port["target"] for port in found} == {8080, 8443}
    eventually(lambda: running.state("gateway") == "healthy", 30)
