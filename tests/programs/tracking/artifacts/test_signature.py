"""Signatures and addresses are botocore's."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest
from botocore.credentials import Credentials
from mlflow.store.artifact.s3_artifact_repo import _cached_get_s3_client, _get_s3_client

from homeport.tracking.artifacts import destination
from homeport.tracking.artifacts.signature import EMPTY, Keys, Signer, Target
from homeport.tracking.artifacts.store import body_of
from tests.programs.tracking.artifacts.rooms import settings

SECRET = 'se"cr/et+=x'


@pytest.mark.parametrize("token", ["", "a/temporary+token=="])
@pytest.mark.parametrize(
    "asked",
    [
        ("GET", "/mlflow/0/a.txt", "", b"", {}),
        ("GET", "/mlflow/0/a.txt", "", b"", {"range": "bytes=0-1"}),
        ("PUT", "/mlflow/0/a.txt", "", b"some bytes", {"content-type": "text/plain", "content-encoding": "gzip"}),
        ("PUT", "/mlflow/a%20%2B%26%C3%A9~%27%28", "", b"", {}),
        ("POST", "/mlflow/0/a.txt", "uploads", b"", {"content-type": "application/x-tar"}),
        ("PUT", "/mlflow/0/a.txt", "partNumber=2&uploadId=a%2Fb%3D", b"part", {}),
        ("DELETE", "/mlflow/0/a.txt", "uploadId=1", b"", {}),
        ("HEAD", "/mlflow/0/a.txt", "", b"", {}),
    ],
)
def test_a_request_is_signed_as_botocore_signs_it(
    asked: tuple[str, str, str, bytes, dict[str, str]], token: str
) -> None:
    method, path, query, body, headers = asked
    # botocore signs every header it is given; we sign what S3 asks for, so these go unsigned with it.
    given = {name: value for name, value in headers.items() if name == "content-type"}
    theirs = AWSRequest(
        method, f"http://127.0.0.1:9000{path}{'?' if query else ''}{query}", headers=given, data=body or None
    )
    S3SigV4Auth(Credentials("AKIA", SECRET, token or None), "s3", "eu-west-1").add_auth(theirs)
    now = datetime.strptime(theirs.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    payload = body_of(bytearray(body)).digest
    signer = Signer(Keys("AKIA", SECRET, token), "eu-west-1")
    made = signer.headers(Target(method, "127.0.0.1:9000", path, query), headers, payload, now)
    assert made["authorization"] == theirs.headers["Authorization"]
    assert made["x-amz-content-sha256"] == theirs.headers["X-Amz-Content-SHA256"]
    assert headers.items() <= made.items()


def test_the_key_of_a_new_day_is_made_anew() -> None:
    signer, target = Signer(Keys("AKIA", SECRET), "eu-west-1"), Target("GET", "host", "/", "")
    first = datetime(2026, 11, 21, 23, 59, 59, tzinfo=UTC)
    second = datetime(2026, 11, 22, tzinfo=UTC)
    signer.headers(target, {}, EMPTY, first)
    fresh = Signer(Keys("AKIA", SECRET), "eu-west-1").headers(target, {}, EMPTY, second)
    assert signer.headers(target, {}, EMPTY, second) == fresh


def test_a_pair_of_keys_shows_no_secret() -> None:
    assert SECRET not in repr(Keys("AKIA", SECRET, "token"))
    assert "token" not in repr(Keys("AKIA", SECRET, "a-token")).replace("token=", "")


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"MLFLOW_S3_ENDPOINT_URL": "http://objectstore:9000/"},
        {"MLFLOW_S3_ENDPOINT_URL": "https://store.example:443"},
        {"MLFLOW_S3_ENDPOINT_URL": "http://[::1]:9000"},
        {"MLFLOW_S3_ENDPOINT_URL": "http://127.0.0.1:9000", "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": "path"},
        {"MLFLOW_S3_ENDPOINT_URL": "http://127.0.0.1:9000", "AWS_DEFAULT_REGION": ""},
        {"MLFLOW_S3_ENDPOINT_URL": "", "AWS_DEFAULT_REGION": "eu-central-1"},
        {"MLFLOW_S3_ENDPOINT_URL": "", "AWS_DEFAULT_REGION": "us-east-1"},
        {
            "MLFLOW_S3_ENDPOINT_URL": "",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": "path",
        },
        {"MLFLOW_S3_ENDPOINT_URL": "", "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": "path"},
        {"MLFLOW_ARTIFACTS_DESTINATION": "s3://mlflow"},
        {"MLFLOW_ARTIFACTS_DESTINATION": "s3://mlflow/a/b c"},
    ],
)
def test_an_artifact_has_the_address_that_boto_gives_it(
    changed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = settings("http://127.0.0.1:9000", "p") | changed
    for variable, value in environ.items():
        if value:
            monkeypatch.setenv(variable, value)
    _cached_get_s3_client.cache_clear()  # regions are no part of its key
    bucket, _, prefix = environ["MLFLOW_ARTIFACTS_DESTINATION"].removeprefix("s3://").partition("/")
    client = _get_s3_client()  # upstream's
    name = "0/a b+é~('/x.txt"
    asked: list[AWSPreparedRequest] = []

    def stop(request: AWSPreparedRequest, **_: object) -> None:
        asked.append(request)
        raise InterruptedError  # nothing is sent

    client.meta.events.register("before-send.s3.GetObject", stop)
    with pytest.raises(InterruptedError):
        client.get_object(Bucket=bucket, Key=f"{prefix}/{name}" if prefix else name)
    place, boto = destination.read(environ), urlsplit(asked[0].url)
    assert boto.path == place.path(name)
    assert f"{boto.scheme}://{boto.netloc.removesuffix(':443')}" == place.origin
    assert boto.netloc.removesuffix(":443") == place.host
    assert f"/{place.region}/s3/" in str(asked[0].headers["Authorization"])
