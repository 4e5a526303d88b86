"""Following a real registry: whatever happens there, what is served goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from homeport.serving.follow.versions import RegisteredVersion
from tests.programs.serving.follow.conftest import Register
from tests.programs.serving.follow.wire import Wire
from tests.programs.serving.follow.worker import Worker, eventually

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from homeport.platform import Platform

Saved = Callable[[float], Path]


class Shelf:
    """One registered model: versions by slope, aliases."""

    def __init__(self, client: MlflowClient, register: Register, saved: Saved, name: str) -> None:
        self._client, self._register, self._saved = client, register, saved
        self.name = name

    def add(self, slope: float, alias: str = "") -> str:
        return self.add_files(self._saved(slope), alias)

    def add_files(self, directory: Path, alias: str = "") -> str:
        version = self._register(self.name, directory)
        if alias:
            self.set(alias, version)
        return version

    def set(self, alias: str, version: str) -> None:
        self._client.set_registered_model_alias(self.name, alias, version)

    def unset(self, alias: str) -> None:
        self._client.delete_registered_model_alias(self.name, alias)

    def delete(self) -> None:
        self._client.delete_registered_model(self.name)


@pytest.fixture
def shelf(client: MlflowClient, register: Register, saved: Saved, name: str) -> Shelf:
    return Shelf(client, register, saved, name)


@pytest.fixture
def broken(saved: Saved, tmp_path: Path) -> Path:
    """A model that is downloaded well and does not load."""
    directory = tmp_path / "broken"
    shutil.copytree(saved(9), directory)
    (directory / "model.pkl").write_bytes(b"not a pickle")
    return directory


def test_the_version_that_has_the_alias_is_served(shelf: Shelf, wire: Wire, tmp_path: Path) -> None:
    shelf.add(2, "champion")
    with Worker(wire.uri, f"{shelf.name}@champion", tmp_path / "cache") as worker:
        assert worker.answer(shelf.name, 3) == pytest.approx(6)
        row = worker.row(shelf.name)
        assert (row["version"], row["aliases"], row["default"], row["state"]) == ("1", ["champion"], True, "serving")
        status = worker.follower.status()
        assert status["registry"] == {
            "reachable": True,
            "since": status["registry"]["since"],
            "error": None,
            "uri": wire.uri,
        }
        json.dumps(status)


def test_a_moved_alias_is_followed_without_being_told(shelf: Shelf, wire: Wire, tmp_path: Path) -> None:
    shelf.add(2, "champion")
    with Worker(wire.uri, f"{shelf.name}@champion", tmp_path / "cache", interval=0.2) as worker:
        old = worker.snapshot.default[shelf.name]
        shelf.add(5, "champion")
        eventually(lambda: worker.version_of(shelf.name) == "2")
        assert worker.answer(shelf.name, 3) == pytest.approx(15)
        eventually(lambda: old.servable.closed)  # type: ignore[attr-defined]  # a Linear
        assert ("reloaded", shelf.name, "2") in worker.observed


def test_a_poll_answers_with_what_changed(shelf: Shelf, wire: Wire, tmp_path: Path) -> None:
    shelf.add(2, "champion")
    reference = f"{shelf.name}@champion"
    with Worker(wire.uri, reference, tmp_path / "cache") as worker:
        assert worker.follower.poll_now().as_dict() == {
            "ok": True,
            "changes": [],
            "failures": [],
            "registry": {"reachable": True, "error": None},
        }
        shelf.add(5, "champion")
        result = worker.follower.poll_now({shelf.name}).as_dict()
        assert result["changes"] == [{"name": shelf.name, "reference": reference, "from": "1", "to": "2"}]
        assert worker.version_of(shelf.name) == "2"
        shelf.set("champion", "1")
        assert worker.follower.poll_now({"another"}).changes == []
        assert worker.version_of(shelf.name) == "2"


def test_a_request_in_flight_keeps_its_version_open(shelf: Shelf, wire: Wire, tmp_path: Path) -> None:
    shelf.add(2, "champion")
    with Worker(wire.uri, f"{shelf.name}@champion", tmp_path / "cache") as worker:
        old = worker.snapshot.default[shelf.name]
        worker.on_loop(old.enter)
        shelf.add(5, "champion")
        assert worker.follower.poll_now().ok
        assert worker.version_of(shelf.name) == "2"
        assert not old.servable.closed  # type: ignore[attr-defined]  # a Linear
        worker.on_loop(old.leave)
        eventually(lambda: old.servable.closed)  # type: ignore[attr-defined]  # a Linear


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


def test_a_deleted_alias_leaves_its_version_serving_and_stale(shelf: Shelf, wire: Wire, tmp_path: Path) -> None:
    shelf.add(2, "champion")
    with Worker(wire.uri, f"{shelf.name}@champion", tmp_path / "cache") as worker:
        shelf.unset("champion")
        assert worker.follower.poll_now().ok  # retired on purpose: that is no failed reload
        assert worker.answer(shelf.name, 3) == pytest.approx(6)
        row = worker.row(shelf.name)
        assert row["state"] == "stale"
        assert row["detail"] == f"{shelf.name}@champion is not in the registry; served as it was"
        shelf.set("champion", "1")
        assert worker.follower.poll_now().ok
        assert worker.row(shelf.name)["state"] == "serving"


def test_a_deleted_model_is_served_on_and_after_a_start_as_well(shelf: Shelf, wire: Wire, tmp_path: Path) -> None:
    shelf.add(2, "champion")
    serve = f"{shelf.name}@champion {shelf.name}/1"
    with Worker(wire.uri, serve, tmp_path / "cache") as worker:
        shelf.delete()
        worker.follower.poll_now()
        assert worker.row(shelf.name)["state"] == "stale"
    with Worker(wire.uri, serve, tmp_path / "cache") as worker:
        assert worker.answer(shelf.name, 3) == pytest.approx(6)
        assert worker.row(shelf.name)["state"] == "stale"


def test_a_model_made_again_under_the_same_name_and_number_is_the_new_one(
    shelf: Shelf, wire: Wire, tmp_path: Path
) -> None:
    shelf.add(2, "champion")
    for serve in (f"{shelf.name}@champion", "*@champion"):
        with Worker(wire.uri, serve, tmp_path / f"cache{len(serve)}") as worker:
            before = worker.answer(shelf.name, 1)
            shelf.delete()
            assert shelf.add(before + 1, "champion") == "1"
            worker.follower.poll_now()
            assert worker.answer(shelf.name, 1) == pytest.approx(before + 1)


def test_every_model_with_the_alias_is_served_and_stays_when_it_loses_it(
    shelf: Shelf, wire: Wire, tmp_path: Path
) -> None:
    alias = f"every-{shelf.name}"
    shelf.add(2, alias)
    other = Shelf(shelf._client, shelf._register, shelf._saved, f"{shelf.name} with a space & more")
    with Worker(wire.uri, f"*@{alias}", tmp_path / "cache") as worker:
        sole = worker.snapshot.sole
        assert sole is not None
        assert sole.version.name == shelf.name
        other.add(5, alias)
        assert worker.follower.poll_now().ok
        assert worker.snapshot.sole is None
        assert worker.answer(other.name, 3) == pytest.approx(15)
        other.unset(alias)
        worker.follower.poll_now()
        assert worker.row(other.name)["detail"].endswith(f"has no alias {alias} any more; served as it was")
        shelf.delete()
        worker.follower.poll_now()
        assert worker.row(shelf.name)["detail"].endswith("is not in the registry any more; served as it was")
        assert worker.answer(shelf.name, 3) == pytest.approx(6)
        assert worker.answer(other.name, 3) == pytest.approx(15)
    with Worker(wire.uri, f"*@{alias}", tmp_path / "cache") as worker:
        assert worker.snapshot.default == {}
        assert worker.failures == []


def test_two_aliases_and_a_number_share_one_loaded_version(shelf: Shelf, wire: Wire, tmp_path: Path) -> None:
    shelf.add(2, "champion")
    shelf.set("challenger", "1")
    n = shelf.name
    with Worker(wire.uri, f"{n}@champion {n}@challenger {n}/1", tmp_path / "cache") as worker:
        snapshot = worker.snapshot
        assert len(snapshot.entries) == 1
        assert snapshot.by_alias.keys() == {(n, "champion"), (n, "challenger")}
        assert worker.row(n)["aliases"] == ["challenger", "champion"]
        shelf.add(5, "champion")
        assert worker.follower.poll_now().ok
        assert worker.snapshot.versions(n) == ["1", "2"]
        assert worker.snapshot.by_alias[(n, "challenger")] is worker.snapshot.by_version[(n, "1")]


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


def test_a_logged_model_is_found_by_its_id(client: MlflowClient, shelf: Shelf, wire: Wire, tmp_path: Path) -> None:
    model = client.create_logged_model("0", "fitted")
    client.log_model_artifacts(model.model_id, str(shelf._saved(4)))
    client.finalize_logged_model(model.model_id, "READY")
    client.create_registered_model(shelf.name)
    client.create_model_version(shelf.name, f"models:/{model.model_id}", model_id=model.model_id)
    with Worker(wire.uri, f"{shelf.name}/1", tmp_path / "cache") as worker:
        assert worker.answer(shelf.name, 3) == pytest.approx(12)
        assert worker.snapshot.default[shelf.name].version.model_id == model.model_id


def test_an_unloaded_model_stays_so_in_every_worker_and_after_a_start(shelf: Shelf, wire: Wire, tmp_path: Path) -> None:
    shelf.add(2, "champion")
    serve = f"{shelf.name}@champion"
    with (
        Worker(wire.uri, serve, tmp_path / "cache") as worker,
        Worker(wire.uri, serve, tmp_path / "cache", interval=0.1) as other,
    ):
        assert worker.follower.unload(shelf.name).changes == [
            {"name": shelf.name, "reference": serve, "from": "1", "to": ""}
        ]
        assert worker.snapshot.default == {}
        assert (worker.row(shelf.name)["state"], worker.row(shelf.name)["version"]) == ("unloaded", "1")
        eventually(lambda: other.snapshot.default == {})
    with Worker(wire.uri, serve, tmp_path / "cache") as worker:
        assert worker.snapshot.default == {}
        assert worker.row(shelf.name)["state"] == "unloaded"
        assert worker.follower.load(shelf.name).ok
        assert worker.answer(shelf.name, 3) == pytest.approx(6)
        assert not worker.follower.load("unknown").ok


def test_an_idle_registry_is_asked_once_a_reference_and_look(shelf: Shelf, wire: Wire, tmp_path: Path) -> None:
    alias = f"idle-{shelf.name}"
    shelf.add(2, alias)
    with Worker(wire.uri, f"{shelf.name}@{alias} *@{alias} *@nobody-{alias}", tmp_path / "cache") as worker:
        before = len(wire.requests)
        for _ in range(3):
            worker.follower.poll_now()
        asked = [path.partition("?")[0].rpartition("/")[2] for path in wire.requests[before:]]
        assert asked == ["alias", "search"] * 3


def test_a_missing_model_is_a_failure_until_it_is_there(shelf: Shelf, wire: Wire, tmp_path: Path) -> None:
    with Worker(wire.uri, f"{shelf.name}@champion", tmp_path / "cache") as worker:
        assert [f["error"] for f in worker.failures] == [f"{shelf.name}@champion is not in the registry"]
        shelf.add(2, "champion")
        assert worker.follower.poll_now().ok
        assert worker.failures == []
        assert worker.answer(shelf.name, 3) == pytest.approx(6)
