"""What one side stores the other reads: the room, and upstream's own S3 client, which MLflow would use in its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository, _cached_get_s3_client

from tests.programs.objectstore.store import Store
from tests.programs.tracking.artifacts.rooms import BUCKET, PREFIX, Room, settings

pytestmark = pytest.mark.slow

NAMES = [
    "plain.txt", "model.pkl", "MLmodel", "no-ending", "archive.tar.gz", "page.html", "data.json", "image.png",
    "a name with spaces.csv", "ünïcödé – 日本語.md", "+&=@,!~'()*$.bin", "dots...in.it", ".hidden", "UPPER.JSON",
]  # fmt: skip


@pytest.fixture
def upstream(store: Store, monkeypatch: pytest.MonkeyPatch) -> S3ArtifactRepository:
    """The repository that MLflow opens for the destination."""
    for name, value in settings(store.endpoint).items():
        monkeypatch.setenv(name, value)
    _cached_get_s3_client.cache_clear()
    return S3ArtifactRepository(f"s3://{BUCKET}/{PREFIX}")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_put_here_is_what_upstream_would_have_put(
    room: Room, store: Store, upstream: S3ArtifactRepository, tmp_path: Path, name: str
) -> None:
    body = os.urandom(1000)
    (tmp_path / name).write_bytes(body)
    upstream.log_artifact(str(tmp_path / name), "theirs/artifacts")
    assert room.put(f"ours/artifacts/{name}", body).status_code == 200
    theirs, ours = (
        store.client().get_object(Bucket=BUCKET, Key=f"{PREFIX}/{side}/artifacts/{name}") for side in ("theirs", "ours")
    )
    assert ours["Body"].read() == theirs["Body"].read() == body
    for field in ("ContentType", "ContentEncoding", "ContentLength", "Metadata"):
        assert ours.get(field) == theirs.get(field), field


@pytest.mark.parametrize("name", NAMES)
def test_what_upstream_puts_is_got_here_and_the_other_way_round(
    room: Room, upstream: S3ArtifactRepository, tmp_path: Path, name: str
) -> None:
    body = os.urandom(1000)
    (tmp_path / name).write_bytes(body)
    upstream.log_artifact(str(tmp_path / name), "exchanged/in")
    assert room.get(f"exchanged/in/{name}").content == body
    room.put(f"exchanged/out/{name}", body)
    assert [one.path for one in upstream.list_artifacts("exchanged/out") if one.path.endswith(name)]
    assert Path(upstream.download_artifacts(f"exchanged/out/{name}", str(tmp_path))).read_bytes() == body


def test_a_large_file_is_exchanged_both_ways(
    room: Room, store: Store, upstream: S3ArtifactRepository, tmp_path: Path
) -> None:
    body = os.urandom(20 * 2**20 + 1)
    (tmp_path / "large.tar.gz").write_bytes(body)
    upstream.log_artifact(str(tmp_path / "large.tar.gz"), "large/in")
    assert room.get("large/in/large.tar.gz").content == body
    room.put("large/out/large.tar.gz", body)
    assert Path(upstream.download_artifacts("large/out/large.tar.gz", str(tmp_path))).read_bytes() == body
    ours, theirs = (
        store.client().head_object(Bucket=BUCKET, Key=f"{PREFIX}/large/{way}/large.tar.gz") for way in ("out", "in")
    )
    assert [ours.get(field) for field in ("ContentType", "ContentEncoding")] == [
        theirs.get(field) for field in ("ContentType", "ContentEncoding")
    ]
