"""What is served goes on: the registry away, a model broken, a file corrupted, a download cut, the cache full."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from homeport.serving.follow.versions import RegisteredVersion
from tests.programs.serving.follow.shelf import Saved, Shelf
from tests.programs.serving.follow.wire import Wire
from tests.programs.serving.follow.worker import Worker, eventually

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from homeport.platform import Platform


def test_a_model_that_fails_to_load_leaves_the_old_one_serving(
    shelf: Shelf, wire: Wire, tmp_path: Path, broken: Path
) -> None:
    shelf.add(2, "champion")
    with Worker(wire.uri, f"{shelf.name}@champion", tmp_path / "cache") as worker:
        shelf.add_files(broken, "champion")
        result = worker.follower.poll_now()
        assert not result.ok
        assert [(f["name"], f["version"]) for f in result.failures] == [(shelf.name, "2")]
        assert worker.answer(shelf.name, 3) == pytest.approx(6)
        (failure,) = worker.failures
        assert failure["error"].endswith("[MODEL_NOT_LOADED]")
        assert failure.keys() == {"name", "version", "reference", "error", "at"}
        assert worker.row(shelf.name)["detail"] == "version 2 could not be loaded"
        shelf.set("champion", "1")
        assert worker.follower.poll_now().ok
        assert worker.failures == []
        assert worker.row(shelf.name)["detail"] == ""


def test_a_model_that_fails_is_not_tried_at_every_look_but_when_asked(
    shelf: Shelf, wire: Wire, tmp_path: Path, broken: Path
) -> None:
    shelf.add_files(broken, "champion")
    with Worker(wire.uri, f"{shelf.name}@champion", tmp_path / "cache", interval=0.05) as worker:
        failed = ("failed", shelf.name, "1")
        looks = worker.observed.count(("registry", True))
        eventually(lambda: worker.observed.count(("registry", True)) >= looks + 10)
        assert worker.observed.count(failed) <= 2
        before = worker.observed.count(failed)
        assert not worker.follower.poll_now().ok
        assert worker.observed.count(failed) > before


def test_the_registry_away_changes_nothing_and_it_is_followed_again_when_back(
    shelf: Shelf, wire: Wire, tmp_path: Path
) -> None:
    shelf.add(2, "champion")
    with Worker(wire.uri, f"{shelf.name}@champion", tmp_path / "cache", interval=0.1) as worker:
        wire.cut()
        eventually(lambda: not worker.follower.status()["registry"]["reachable"])
        assert "cannot be reached" in worker.follower.status()["registry"]["error"]
        assert worker.row(shelf.name)["state"] == "serving"
        assert worker.answer(shelf.name, 3) == pytest.approx(6)
        assert not worker.follower.poll_now().ok
        shelf.add(5, "champion")
        wire.mend()
        eventually(lambda: worker.version_of(shelf.name) == "2")
        assert worker.follower.status()["registry"]["error"] is None


def test_a_tracking_server_that_is_restarted_is_followed_again(
    homeport_platform: Platform, shelf: Shelf, tmp_path: Path
) -> None:
    shelf.add(2, "champion")
    uri = homeport_platform.tracking_uri
    with Worker(uri, f"{shelf.name}@champion", tmp_path / "cache", interval=0.1) as worker:
        homeport_platform.restart("tracking")
        assert homeport_platform.tracking_uri == uri
        assert ("registry", False) in worker.observed
        assert worker.answer(shelf.name, 3) == pytest.approx(6)
        shelf.add(5, "champion")
        eventually(lambda: worker.version_of(shelf.name) == "2")


def test_a_password_in_the_address_is_in_no_error(shelf: Shelf, wire: Wire, tmp_path: Path) -> None:
    uri = wire.uri.replace("http://", "http://user:secret@")
    with Worker(uri, f"{shelf.name}@champion", tmp_path / "cache") as worker:
        shelf.add(2, "champion")
        make_room = worker.cache._make_room

        def cut_before_the_first_byte(version: RegisteredVersion, half: Path, needed: int) -> None:
            make_room(version, half, needed)
            wire.cut()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(worker.cache, "_make_room", cut_before_the_first_byte)
            result = worker.follower.poll_now(timeout=120)
        assert "[MODEL_NOT_DOWNLOADED]" in result.failures[0]["error"]
        worker.follower.poll_now(timeout=120)
        assert worker.follower.status()["registry"]["uri"] == wire.uri
        assert "secret" not in json.dumps([worker.follower.status(), result.as_dict()])


def test_a_download_cut_in_the_middle_is_done_again(
    shelf: Shelf, wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.add(2, "champion")
    with Worker(wire.uri, f"{shelf.name}@champion", tmp_path / "cache") as worker:
        make_room = worker.cache._make_room

        def cut_before_the_first_byte(version: RegisteredVersion, half: Path, needed: int) -> None:
            make_room(version, half, needed)
            wire.cut()

        monkeypatch.setattr(worker.cache, "_make_room", cut_before_the_first_byte)
        shelf.add(5, "champion")
        result = worker.follower.poll_now(timeout=120)
        assert "[MODEL_NOT_DOWNLOADED]" in result.failures[0]["error"]
        assert worker.answer(shelf.name, 3) == pytest.approx(6)
        wire.mend()
        monkeypatch.undo()
        assert worker.follower.poll_now(timeout=120).ok
        assert worker.answer(shelf.name, 3) == pytest.approx(15)


def test_a_server_started_while_the_registry_is_away_serves_what_was_served_last(
    shelf: Shelf, wire: Wire, nobody: str, tmp_path: Path
) -> None:
    shelf.add(2, "champion")
    serve = f"{shelf.name}@champion {shelf.name}/1"
    with Worker(wire.uri, serve, tmp_path / "cache"):
        pass
    with Worker(nobody, serve, tmp_path / "cache") as worker:
        assert worker.answer(shelf.name, 3) == pytest.approx(6)
        row = worker.row(shelf.name)
        assert row["state"] == "serving"
        assert row["detail"] == "the registry has not answered since the start: this is the version served last"
        assert worker.follower.status()["registry"]["reachable"] is False


def test_a_server_started_while_everything_is_away_says_so_and_goes_on(nobody: str, tmp_path: Path) -> None:
    with Worker(nobody, "wine@champion *@champion", tmp_path / "cache") as worker:
        assert worker.snapshot.default == {}
        assert not worker.follower.poll_now().ok
        assert worker.follower.status()["registry"]["error"].endswith("Connection refused")


def test_a_server_started_with_a_broken_newest_version_serves_what_was_served_last(
    shelf: Shelf, wire: Wire, tmp_path: Path, broken: Path
) -> None:
    shelf.add(2, "champion")
    serve = f"{shelf.name}@champion"
    with Worker(wire.uri, serve, tmp_path / "cache"):
        pass
    shelf.add_files(broken, "champion")
    with Worker(wire.uri, serve, tmp_path / "cache") as worker:
        assert worker.answer(shelf.name, 3) == pytest.approx(6)
        assert [failure["version"] for failure in worker.failures] == ["2"]
        assert worker.row(shelf.name)["detail"] == "version 2 could not be loaded; this one was served last"
        assert not worker.follower.poll_now().ok
        assert worker.version_of(shelf.name) == "1"


def test_a_corrupted_file_is_downloaded_again_or_refused(shelf: Shelf, wire: Wire, nobody: str, tmp_path: Path) -> None:
    shelf.add(2, "champion")
    serve = f"{shelf.name}@champion"

    def corrupt() -> None:
        (file,) = (tmp_path / "cache" / "models").rglob("model.pkl")
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)

    with Worker(wire.uri, serve, tmp_path / "cache"):
        corrupt()
    with Worker(nobody, serve, tmp_path / "cache") as worker:
        assert worker.snapshot.default == {}
        (failure,) = worker.failures
        assert "another content than was downloaded [MODEL_NOT_CACHED]" in failure["error"]
    with Worker(wire.uri, serve, tmp_path / "cache") as worker:
        assert worker.answer(shelf.name, 3) == pytest.approx(6)


def test_a_full_cache_keeps_what_is_served(shelf: Shelf, wire: Wire, tmp_path: Path, saved: Saved) -> None:
    size = sum(file.stat().st_size for file in saved(2).rglob("*") if file.is_file())
    shelf.add(2, "champion")
    with Worker(wire.uri, f"{shelf.name}@champion", tmp_path / "cache", limit=int(size * 1.5)) as worker:
        shelf.add(5, "champion")
        result = worker.follower.poll_now()
        assert "[CACHE_FULL]" in result.failures[0]["error"]
        assert worker.answer(shelf.name, 3) == pytest.approx(6)


def test_a_version_whose_files_lie_elsewhere_is_refused(
    client: MlflowClient, shelf: Shelf, wire: Wire, tmp_path: Path
) -> None:
    shelf.add(2, "champion")
    client.create_model_version(shelf.name, "s3://bucket/model")
    shelf.set("champion", "2")
    with Worker(wire.uri, f"{shelf.name}@champion", tmp_path / "cache") as worker:
        (failure,) = worker.failures
        assert "not served by the tracking server (needed: mlflow-artifacts:/, found: s3:)" in failure["error"]
