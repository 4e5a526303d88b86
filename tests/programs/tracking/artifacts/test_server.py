"""Artifacts through the whole tracking server, with logins and without: MLflow's client, its answers, and its users."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import mlflow
import pytest
import requests

from tests.programs.database.programs import eventually
from tests.programs.objectstore.store import Store
from tests.programs.tracking.artifacts.rooms import BUCKET, ROUTE, settings
from tests.programs.tracking.guarded import ADMIN, Guarded

pytestmark = pytest.mark.slow
AJAX = ROUTE.replace("/api/", "/ajax-api/")
MLFLOW_ITSELF = "?asked=otherwise"  # a query that MLflow does not look at, and the room leaves to it
PASSWORD = "another user's password"
PREFIX = "whole/server"
GRANTS = "/api/3.0/mlflow/users/permissions"
API, PAGE = "/api/2.0/mlflow", "/get-artifact"
TITLES = (
    "content-type", "content-disposition", "content-length", "content-range", "accept-ranges", "cache-control",
    "x-frame-options", "x-content-type-options",
)  # fmt: skip


@pytest.fixture(scope="module")
def server(
    store: Store, prepared: tuple[str, Callable[[], str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guarded]:
    """A server with logins over the store."""
    guarded = Guarded(
        prepared[1](),
        tmp_path_factory.mktemp("server"),
        **settings(store.endpoint, PREFIX),
        HOMEPORT_WORKERS="1",
        HOMEPORT_PRESIGNED_URLS="false",  # else MLflow's client loads from the store itself
    )
    try:
        yield guarded.start()
    finally:
        guarded.stop()


def fast(server: Guarded, route: str) -> int:
    """How many requests the front answered itself."""
    page = server.ask("GET", "/metrics", ADMIN).text
    found = re.search(rf'homeport_tracking_requests_total{{outcome="fast",route="{route}"}} (\d+)', page) or re.search(
        rf'homeport_tracking_requests_total{{route="{route}",outcome="fast"}} (\d+)', page
    )
    assert "homeport_tracking_requests_total" in page, page[:300]
    return int(found[1]) if found else 0


@pytest.fixture
def by_client(server: Guarded, monkeypatch: pytest.MonkeyPatch) -> Iterator[Guarded]:
    """MLflow's own client, pointed at the server."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", ADMIN)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "an admin's pass:word")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(server.url)
    yield server
    mlflow.set_tracking_uri(before)


def test_mlflows_client_logs_lists_and_loads_artifacts_by_the_fast_lane(by_client: Guarded, tmp_path: Path) -> None:
    files = {
        "plain.txt": b"text", "empty": b"", "with space.csv": b"a,b", "übung.json": b"{}", "deep/er/model.pkl": b"\x80",
        "large.bin": os.urandom(20 * 2**20),
    }  # fmt: skip
    for name, body in files.items():
        (tmp_path / "sent" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sent" / name).write_bytes(body)
    uploads, downloads = fast(by_client, "artifact-upload"), fast(by_client, "artifact-download")
    with mlflow.start_run() as run:
        mlflow.log_artifacts(str(tmp_path / "sent"), "folder")
        mlflow.log_text("by text", "by/text.txt")
        mlflow.log_dict({"by": "dict"}, "by/dict.json")
    uri = f"runs:/{run.info.run_id}"
    got = Path(mlflow.artifacts.download_artifacts(f"{uri}/folder", dst_path=str(tmp_path / "got")))
    assert {str(each.relative_to(got)): each.read_bytes() for each in got.rglob("*") if each.is_file()} == files
    assert mlflow.artifacts.load_text(f"{uri}/by/text.txt") == "by text"
    assert mlflow.artifacts.load_dict(f"{uri}/by/dict.json") == {"by": "dict"}
    client = mlflow.MlflowClient()
    assert {each.path for each in client.list_artifacts(run.info.run_id)} == {"folder", "by"}
    assert fast(by_client, "artifact-upload") == uploads + len(files) + 2
    assert fast(by_client, "artifact-download") >= downloads + len(files) + 2


def test_ready_says_that_artifacts_are_streamed(server: Guarded) -> None:
    assert server.ask("GET", "/ready", ADMIN).json()["artifacts"] == {"streamed": True, "why": ""}


@pytest.mark.parametrize(
    "name", ["table.csv", "picture.png", "MLmodel", "ünï cödé.html", "archive.tar.gz", 'quo"te.txt']
)
@pytest.mark.parametrize("route", [ROUTE, AJAX])
def test_an_answer_is_mlflows_own(server: Guarded, name: str, route: str) -> None:
    path = f"{route}0/same/{quote(name)}"
    # The front's comes last and is what is got.
    puts = [server.ask("PUT", path + query, ADMIN, data=b"the same") for query in (MLFLOW_ITSELF, "")]
    gets = [server.ask("GET", path + query, ADMIN) for query in (MLFLOW_ITSELF, "")]
    theirs, ours = gets
    assert "etag" not in theirs.headers
    assert "accept-ranges" in ours.headers
    for ones, titles in (
        (puts, ("content-type", "x-frame-options", "x-content-type-options", "content-length")),
        (gets, ("content-type", "content-disposition", "x-frame-options", "x-content-type-options")),
    ):
        assert ones[0].status_code == ones[1].status_code == 200
        assert ones[0].content == ones[1].content
        for title in titles:
            assert ones[1].headers.get(title) == ones[0].headers.get(title), title


def test_head_says_what_mlflow_says(server: Guarded) -> None:
    server.ask("PUT", f"{ROUTE}0/head.png", ADMIN, data=b"not really")
    theirs, ours = (server.ask("HEAD", f"{ROUTE}0/head.png{query}", ADMIN) for query in (MLFLOW_ITSELF, ""))
    assert (ours.status_code, ours.content) == (theirs.status_code, theirs.content) == (200, b"")
    for title in ("content-type", "content-disposition", "content-length", "x-content-type-options"):
        assert ours.headers.get(title) == theirs.headers.get(title), title


@pytest.mark.parametrize("name", ["0/none", "0/folder", "0/folder/none/at/all"])
def test_what_is_not_there_gets_mlflows_answer(server: Guarded, name: str) -> None:
    server.ask("PUT", f"{ROUTE}0/folder/inside", ADMIN, data=b"x")
    before = fast(server, "artifact-download")
    theirs, ours = (server.ask("GET", ROUTE + name + query, ADMIN) for query in (MLFLOW_ITSELF, ""))
    assert (ours.status_code, ours.content) == (theirs.status_code, theirs.content)
    assert fast(server, "artifact-download") == before


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize(
    "raw",
    ["%2e%2e/x", "a/%252e%252e/x", "a/..%2f..%2fx", "/etc/passwd", "a%23b", "file:///etc/passwd"],
)
def test_an_attack_is_refused_by_mlflow_and_leaves_nothing(
    server: Guarded, store: Store, method: str, raw: str
) -> None:
    before = store.client().list_objects_v2(Bucket=BUCKET).get("KeyCount")
    session = requests.Session()
    session.trust_env = False
    asked = requests.Request(method, server.url, data=b"x" if method == "PUT" else None).prepare()
    asked.url = server.url + ROUTE + raw
    asked.prepare_auth((ADMIN, "an admin's pass:word"))
    answer = session.send(asked, timeout=60)
    assert answer.status_code == 400, answer.text
    assert store.client().list_objects_v2(Bucket=BUCKET).get("KeyCount") == before


def test_a_foreign_host_and_a_foreign_page_are_refused(server: Guarded) -> None:
    for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
        answer = server.ask("PUT", f"{ROUTE}0/foreign", ADMIN, data=b"x", headers=headers)
        assert answer.status_code == 403, headers
    assert server.ask("GET", f"{ROUTE}0/foreign", ADMIN).status_code != 200


def test_users_may_do_with_artifacts_what_their_permissions_say(server: Guarded) -> None:
    made = server.ask("POST", "/api/2.0/mlflow/experiments/create", ADMIN, json={"name": "for artifacts"}).json()
    experiment = made["experiment_id"]
    path, body = f"{ROUTE}{experiment}/{'a' * 32}/artifacts/x.txt", b"the admin's"
    assert server.ask("PUT", path, ADMIN, data=body).status_code == 200
    server.make_user("reader", PASSWORD)

    def permit(permission: str) -> None:
        what = {"username": "reader", "resource_type": "experiment", "resource_id": experiment}
        server.ask("POST", f"{GRANTS}/revoke", ADMIN, json=what)  # of what was granted before, if anything
        answer = server.ask("POST", f"{GRANTS}/grant", ADMIN, json=what | {"permission": permission})
        assert answer.status_code == 200, answer.text

    def may(method: str) -> bool:
        answer = server.ask(method, path, "reader", PASSWORD, data=b"the reader's" if method == "PUT" else None)
        assert answer.status_code in {200, 403}, answer.text
        return answer.status_code == 200

    def current() -> bytes:
        return server.ask("GET", path, ADMIN).content

    for method in ("GET", "HEAD", "PUT"):
        assert server.ask(method, path).status_code == 401
        assert server.ask(method, path, "reader", "a wrong one").status_code == 401
    permit("DENY")
    assert (may("GET"), may("HEAD"), may("PUT")) == (False, False, False)
    permit("READ")
    eventually(lambda: may("GET"))
    before = fast(server, "artifact-download")
    assert (may("GET"), may("GET"), may("PUT")) == (True, True, False)
    assert fast(server, "artifact-download") >= before + 1
    # MLflow has no rule for HEAD and refuses it to all but administrators.
    assert may("HEAD") is (server.ask("HEAD", path + MLFLOW_ITSELF, "reader", PASSWORD).status_code == 200)
    assert current() == body
    permit("EDIT")
    eventually(lambda: may("PUT"))
    assert current() == b"the reader's"
    permit("DENY")
    eventually(lambda: not may("GET"))
    assert (may("GET"), may("HEAD"), may("PUT")) == (False, False, False)


@pytest.mark.parametrize("name", ["table.csv", "picture.png", "MLmodel", "ünï cödé.html", "archive.tar.gz"])
def test_the_page_is_given_an_artifact_of_a_run_as_mlflow_gives_it(by_client: Guarded, name: str) -> None:
    run = by_client.ask("POST", f"{API}/runs/create", ADMIN, json={"experiment_id": "0"}).json()["run"]["info"]
    path = run["artifact_uri"].removeprefix("mlflow-artifacts:/")
    assert by_client.ask("PUT", f"{ROUTE}{path}/deep/{quote(name)}", ADMIN, data=b"the same").status_code == 200
    before = fast(by_client, "artifact-of-run")
    for told in ({"run_uuid": run["run_id"]}, {"run_id": run["run_id"]}):
        for headers in ({}, {"Range": "bytes=1-3"}):
            theirs, ours = (
                by_client.ask("GET", PAGE, ADMIN, params={"path": f"deep/{name}", **told, **more}, headers=headers)
                for more in ({"asked": "otherwise"}, {})
            )
            assert (ours.status_code, ours.content) == (theirs.status_code, theirs.content)
            assert ours.status_code in {200, 206}
            for title in TITLES:
                assert ours.headers.get(title) == theirs.headers.get(title), title
    assert fast(by_client, "artifact-of-run") == before + 4


@pytest.mark.parametrize(
    "asked",
    [
        {"path": "none"}, {"path": "folder"}, {"path": ""}, {}, {"path": "../folder/x"}, {"path": "a/%2e%2e/x"},
        {"path": "/etc/passwd"}, {"path": "folder/x", "run_id": "0" * 32}, {"path": "folder/x", "run_id": ""},
        {"path": ["folder/x", "folder/y"]}, {"path": "folder//x"}, {"path": "folder/x#"},
    ],
)  # fmt: skip
def test_what_the_page_is_not_surely_given_is_mlflows_to_answer(server: Guarded, asked: dict[str, Any]) -> None:
    run = server.ask("POST", f"{API}/runs/create", ADMIN, json={"experiment_id": "0"}).json()["run"]["info"]
    path = run["artifact_uri"].removeprefix("mlflow-artifacts:/")
    server.ask("PUT", f"{ROUTE}{path}/folder/x", ADMIN, data=b"x")
    before = fast(server, "artifact-of-run")
    theirs, ours = (
        server.ask("GET", PAGE, ADMIN, params={"run_uuid": run["run_id"], **asked, **more})
        for more in ({"asked": "otherwise"}, {})
    )
    assert (ours.status_code, ours.content) == (theirs.status_code, theirs.content)
    assert fast(server, "artifact-of-run") == before


def test_the_page_shows_a_runs_artifacts_to_those_who_may_read_the_run(server: Guarded) -> None:
    made = server.ask("POST", f"{API}/experiments/create", ADMIN, json={"name": "for the page"}).json()
    run = server.ask("POST", f"{API}/runs/create", ADMIN, json=made).json()["run"]["info"]
    path = run["artifact_uri"].removeprefix("mlflow-artifacts:/")
    server.ask("PUT", f"{ROUTE}{path}/x.txt", ADMIN, data=b"seen")
    server.make_user("looker", PASSWORD)
    asked = {"path": "x.txt", "run_uuid": run["run_id"]}

    def looked(*who: str) -> tuple[int, bytes]:
        answer = server.ask("GET", PAGE, *who, params=asked)
        return answer.status_code, answer.content

    what = {"username": "looker", "resource_type": "experiment", "resource_id": made["experiment_id"]}
    for permission, seen in (("READ", True), ("DENY", False)):
        server.ask("POST", f"{GRANTS}/revoke", ADMIN, json=what)
        server.ask("POST", f"{GRANTS}/grant", ADMIN, json={**what, "permission": permission})
        before = fast(server, "artifact-of-run")
        assert (looked("looker", PASSWORD) == (200, b"seen")) is seen
        assert fast(server, "artifact-of-run") - before == int(seen)
        assert looked()[0] == looked("looker", "a wrong one")[0] == 401
