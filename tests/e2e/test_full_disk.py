"""A disk that fills up: no acknowledged write is missing, no half artifact is left, and space alone mends it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from tests.e2e.harness import Homeport, MetricLoop, eventually

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A disk of 600 MiB, which only root can mount."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small disk needs root")
    place = tmp_path_factory.mktemp("small-disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600m", "homeport-test", str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)  # fails while anything is left running there


@pytest.fixture(scope="module")
def cramped(small_disk: Path) -> Iterator[Homeport]:
    """A platform that runs on the small disk."""
    with Homeport(small_disk / "home", {"HOMEPORT_WORKERS": "1"}) as platform:
        platform.up()
        yield platform


def _fill(file: Path) -> None:
    """Write until the disk is full."""
    with file.open("wb", buffering=0) as filler:
        while filler.write(b"0" * 2**20):
            pass


def _use_up_the_log(uri: str) -> None:
    """Take new files of PostgreSQL's log for ever."""
    import psycopg2

    connection = psycopg2.connect(uri.replace("+psycopg2", ""))
    connection.autocommit = True
    try:
        while True:
            connection.cursor().execute("SELECT pg_logical_emit_message(true, 'test', 'x'), pg_switch_wal()")
    finally:
        connection.close()


def test_a_disk_that_fills_up_loses_nothing_acknowledged_and_space_alone_mends_it(
    cramped: Homeport, small_disk: Path, tmp_path: Path
) -> None:
    import psycopg2

    database = cramped.service("database")
    with MetricLoop(cramped, tmp_path) as loop:
        filler = small_disk / "filler"
        with pytest.raises(OSError, match="No space left"):
            _fill(filler)
        with pytest.raises(psycopg2.OperationalError):
            _use_up_the_log(cramped.env("--admin")["MLFLOW_BACKEND_STORE_URI"])
        eventually(lambda: not cramped.status()["ready"], what="a database that says it is not well")
        filler.unlink()
        cramped.comes_back("database", database["restarts"])
        loop.goes_on()
        loop.end()
        loop.assert_nothing_lost()


def test_an_artifact_that_does_not_fit_on_the_disk_is_refused_and_no_half_of_it_is_left(
    cramped: Homeport, small_disk: Path
) -> None:
    artifact = f"{cramped.tracking_uri}/api/2.0/mlflow-artifacts/artifacts/0/large.bin"
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space left"):
        _fill(filler)
    with pytest.raises(URLError):  # a 5xx, or a connection cut in the middle of the body after one
        urlopen(Request(artifact, data=b"0" * 2**23, method="PUT"), timeout=120)
    filler.unlink()
    eventually(lambda: cramped.status()["ready"], 120, "ready again")
    with pytest.raises(HTTPError) as missing:
        urlopen(artifact, timeout=60)
    missing.value.close()
    assert not [file for file in (cramped.home / "data" / "objectstore").rglob("*") if "large" in file.name]
    with urlopen(Request(artifact, data=b"1" * 2**20, method="PUT"), timeout=60):
        pass
    with urlopen(artifact, timeout=60) as answer:
        assert answer.read() == b"1" * 2**20
