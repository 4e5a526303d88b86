"""Following a real registry: whatever happens there, what is served goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.programs.serving.follow.shelf import Shelf
from tests.programs.serving.follow.wire import Wire
from tests.programs.serving.follow.worker import Worker, eventually

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from mlflow import MlflowClient


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


def test_a_logged_model_is_found_by_its_id(client: MlflowClient, shelf: Shelf, wire: Wire, tmp_path: Path) -> None:
    model = client.create_logged_model("0", "fitted")
    client.log_model_artifacts(model.model_id, str(shelf._saved(4)))
    client.finalize_logged_model(model.model_id, "READY")
    client.create_registered_model(shelf.name)
    client.create_model_version(shelf.name, f"models:/{model.model_id}", model_id=model.model_id)
    with Worker(wire.uri, f"{shelf.name}/1", tmp_path / "cache") as worker:
        assert worker.answer(shelf.name, 3) == pytest.approx(12)
        assert worker.snapshot.default[shelf.name].version.model_id == model.model_id


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
