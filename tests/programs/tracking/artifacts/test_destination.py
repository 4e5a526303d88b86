"""What is not plainly one bucket behind one address with one pair of keys is left to MLflow."""

from __future__ import annotations

import subprocess
import sys

import pytest

from homeport.tracking.artifacts import destination
from homeport.tracking.artifacts.destination import LeftToMlflowError
from homeport.tracking.artifacts.room import Artifacts
from homeport.tracking.front.call import Guard
from tests.programs.tracking.artifacts.rooms import settings


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"HOMEPORT_SHARED_ARTIFACTS": "/mnt/shared"}, "shared directory"),
        ({"MLFLOW_ARTIFACTS_DESTINATION": "/data/artifacts"}, "not in an S3 store"),
        ({"MLFLOW_ARTIFACTS_DESTINATION": "gs://bucket/x"}, "not in an S3 store"),
        ({"MLFLOW_ARTIFACTS_DESTINATION": "s3://with.dots/x"}, "not plainly"),
        ({"MLFLOW_ARTIFACTS_DESTINATION": "s3://bucket/x?y"}, "not plainly"),
        ({"MLFLOW_ARTIFACTS_DESTINATION": "s3://bucket/x//"}, "not plainly"),
        ({"MLFLOW_ARTIFACTS_DESTINATION": "s3://bucket/a/../b"}, "dotted"),
        ({"MLFLOW_ARTIFACTS_DESTINATION": "s3://arn:aws:s3:eu-west-1:1:accesspoint/x"}, "not plainly"),
        ({"MLFLOW_S3_UPLOAD_EXTRA_ARGS": '{"ServerSideEncryption": "aws:kms"}'}, "MLFLOW_S3_UPLOAD_EXTRA_ARGS"),
        ({"MLFLOW_S3_EXPECTED_BUCKET_OWNER": "123"}, "MLFLOW_S3_EXPECTED_BUCKET_OWNER"),
        ({"MLFLOW_EXPERIMENTAL_S3_SIGNATURE_VERSION": "unsigned"}, "SIGNATURE_VERSION"),
        ({"AWS_PROFILE": "work"}, "AWS_PROFILE"),
        ({"AWS_ENDPOINT_URL_S3": "http://elsewhere"}, "AWS_ENDPOINT_URL_S3"),
        ({"AWS_USE_FIPS_ENDPOINT": "true"}, "AWS_USE_FIPS_ENDPOINT"),
        ({"AWS_CONFIG_FILE": ""}, "AWS_CONFIG_FILE"),
        ({"AWS_SECRET_ACCESS_KEY": ""}, "AWS_SECRET_ACCESS_KEY"),
        ({"AWS_REGION": "eu-west-1"}, "differ"),
        ({"MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": "virtual"}, "bucket in the path"),
        ({"MLFLOW_S3_ENDPOINT_URL": "http://store:9000/below"}, "not plainly"),
        ({"MLFLOW_S3_ENDPOINT_URL": "http://user:pass@store:9000"}, "not plainly"),
        ({"MLFLOW_S3_ENDPOINT_URL": "http://store:port"}, "not plainly"),
        ({"MLFLOW_S3_ENDPOINT_URL": "https://s3.eu-west-1.amazonaws.com"}, "Amazon"),
        ({"MLFLOW_S3_ENDPOINT_URL": "", "AWS_DEFAULT_REGION": ""}, "public regions"),
        ({"MLFLOW_S3_ENDPOINT_URL": "", "AWS_DEFAULT_REGION": "cn-north-1"}, "public regions"),
    ],
)
def test_an_unusual_store_is_left_to_mlflow(changed: dict[str, str], why: str) -> None:
    with pytest.raises(LeftToMlflowError, match=why):
        destination.read(settings("http://127.0.0.1:9000") | changed)


def test_a_store_behind_a_proxy_is_left_to_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "near.example")
    with pytest.raises(LeftToMlflowError, match="proxy"):
        destination.read(settings("http://far.example:9000"))
    assert destination.read(settings("http://near.example:9000")).origin == "http://near.example:9000"


def test_a_store_whose_certificate_is_not_checked_is_still_asked_by_tls() -> None:
    place = destination.read(settings("https://store.example:9000") | {"MLFLOW_S3_IGNORE_TLS": "true"})
    assert place.is_encrypted
    assert not place.verify


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"MLFLOW_ENABLE_WORKSPACES": "true"}, "workspaces"),
        ({"HOMEPORT_FASTLANE": "off"}, "HOMEPORT_FASTLANE"),
        ({"MLFLOW_ARTIFACTS_DESTINATION": "/data/artifacts"}, "S3"),
    ],
)
def test_a_room_that_is_off_says_why_and_finds_nothing(changed: dict[str, str], why: str) -> None:
    async def pass_on(*_: object) -> int:
        raise AssertionError

    path = "/api/2.0/mlflow-artifacts/artifacts/0/x"
    off = Artifacts(settings("http://127.0.0.1:9000") | changed, Guard(), pass_on)
    assert why in off.reason
    assert off.find("GET", path) == ""
    on = Artifacts(settings("http://127.0.0.1:9000"), Guard(), pass_on)
    assert on.reason == ""
    assert [on.find(method, path) for method in ("GET", "HEAD", "PUT", "DELETE", "POST")] == [
        "artifact-download", "artifact-download", "artifact-upload", "", "",
    ]  # fmt: skip
    assert on.find("GET", "/api/2.0/mlflow-artifacts/artifacts") == ""


def test_a_room_costs_the_front_no_http_client_before_the_first_artifact() -> None:
    source = (
        "import sys; from homeport.tracking.artifacts import room; print(*{'aiohttp', 'boto3', 'botocore', 'mlflow'} & "
        "{name.partition('.')[0] for name in sys.modules})"
    )
    assert subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True).stdout == "\n"
