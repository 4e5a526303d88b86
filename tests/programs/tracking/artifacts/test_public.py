"""Presigned URLs bear the public endpoint, and work there; the server itself still asks the private one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from mlflow.entities.multipart_upload import MultipartUploadPart
from mlflow.store.artifact import s3_artifact_repo
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

from homeport.errors import HomeportError
from homeport.tracking.artifacts import public
from tests.programs.objectstore.store import Store
from tests.programs.tracking.artifacts.rooms import BUCKET, settings


@pytest.fixture
def repository(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3ArtifactRepository]:
    """Upstream's, on a server that reaches the store by its number and whose clients reach it by a name."""
    for name, value in settings(store.endpoint).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(s3_artifact_repo, "_cached_get_s3_client", s3_artifact_repo._cached_get_s3_client)
    assert public.apply({public.VARIABLE: f"http://localhost:{store.port}/"})
    yield S3ArtifactRepository(f"s3://{BUCKET}/presigned")
    s3_artifact_repo._cached_get_s3_client.cache_clear()


def test_a_download_is_sent_to_the_public_endpoint_and_works_there(
    repository: S3ArtifactRepository, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "a b.txt").write_bytes(b"content")
    repository.log_artifact(str(tmp_path / "a b.txt"), "0")
    presigned = repository.get_download_presigned_url("0/a b.txt")
    assert urlsplit(presigned.url).netloc == f"localhost:{store.port}"
    assert presigned.file_size == len(b"content")
    got = requests.get(presigned.url, timeout=30)
    assert got.content == b"content"
    moved = presigned.url.replace("localhost", "127.0.0.1")
    assert requests.get(moved, timeout=30).status_code == 403  # the host is signed: it was not merely written over


def test_an_upload_in_parts_goes_to_the_public_endpoint(repository: S3ArtifactRepository, store: Store) -> None:
    parts = [os.urandom(5 * 2**20), b"the end"]
    begun = repository.create_multipart_upload("large.bin", 2, "0")
    assert {urlsplit(one.url).netloc for one in begun.credentials} == {f"localhost:{store.port}"}
    etags = [
        requests.put(one.url, data=part, timeout=30).headers["ETag"]
        for one, part in zip(begun.credentials, parts, strict=True)
    ]
    done = [MultipartUploadPart(number, etag, None) for number, etag in enumerate(etags, 1)]
    repository.complete_multipart_upload("large.bin", begun.upload_id, done, "0")
    assert store.client().get_object(Bucket=BUCKET, Key="presigned/0/large.bin")["Body"].read() == b"".join(parts)


def test_without_a_public_endpoint_nothing_is_changed() -> None:
    before = s3_artifact_repo._cached_get_s3_client
    assert not public.apply({})
    assert s3_artifact_repo._cached_get_s3_client is before


@pytest.mark.parametrize(
    "endpoint", ["store.example", "ftp://store.example", "https://", "https://store.example/below"]
)
def test_what_is_no_endpoint_is_refused(endpoint: str) -> None:
    with pytest.raises(HomeportError, match="HOMEPORT_S3_PUBLIC_ENDPOINT"):
        public.apply({public.VARIABLE: endpoint})
