"""What the doctor says of a directory that server and clients have to share, for each way in which they may not."""

from __future__ import annotations

import os
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from homeport import marker
from homeport.operations.doctor import Check
from homeport.operations.shared_artifacts import examine
from tests.unit.operations.conftest import Serve

Says = Callable[..., str]
_ID = "0" * 32


@pytest.fixture
def says(serve: Serve) -> Says:
    """Starts a server that tells where its experiments are, and perhaps its mark; gives its address."""

    def start(*locations: str, told: dict[str, str] | None = None, password: str = "", ready: int = 200) -> str:
        def answer(asked: BaseHTTPRequestHandler) -> tuple[int, object]:
            if asked.command == "GET":
                return ready, {"ready": ready == 200, **({"shared_artifacts": told} if told else {})}
            if password and password not in (asked.headers["authorization"] or ""):
                return 401, {}
            return 200, {"experiments": [{"artifact_location": each} for each in locations]}

        return serve(answer)

    return start


def _one(uri: str, **environ: str) -> Check:
    (row,) = examine(uri, environ)
    return row


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_the_same_directory_passes(says: Says, tmp_path: Path, scheme: str) -> None:
    told = {"directory": str(tmp_path), "id": marker.place(tmp_path)}

    row = _one(says(f"{scheme}{tmp_path}/0", f"{scheme}{tmp_path}/1", told=told))

    assert (row.status, row.message) == ("pass", f"{tmp_path} is the server's, and writable")


def test_a_server_that_is_not_ready_is_believed_too(says: Says, tmp_path: Path) -> None:
    told = {"directory": str(tmp_path), "id": marker.place(tmp_path)}

    assert _one(says(f"{tmp_path}/0", told=told, ready=503)).status == "pass"


def test_a_missing_directory_is_told_with_the_mount(says: Says, tmp_path: Path) -> None:
    gone = tmp_path / "gone"

    row = _one(says(f"{gone}/0", told={"directory": str(gone), "id": _ID}))

    assert (row.status, row.fix) == ("fail", f"mount the server's {gone} here, at the same path")
    assert "not on this machine" in row.message


@pytest.mark.parametrize(("marked", "word"), [(False, "without the server's mark"), (True, "marked by another server")])
def test_another_directory_of_the_same_name_is_told(says: Says, tmp_path: Path, marked: bool, word: str) -> None:
    if marked:
        marker.place(tmp_path)

    row = _one(says(f"{tmp_path}/0", told={"directory": str(tmp_path), "id": _ID}))

    assert (row.status, row.fix) == ("fail", f"mount the server's {tmp_path} here, at the same path")
    assert word in row.message


def test_a_directory_of_a_stock_server_can_only_be_looked_for(says: Says, tmp_path: Path) -> None:
    row = _one(says(f"{tmp_path}/0"))

    assert row.status == "warn"
    assert "cannot be told" in row.message


def test_a_directory_of_another_user_is_told_with_the_owners_uid(
    says: Says, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"directory": str(tmp_path), "id": marker.place(tmp_path)}
    (tmp_path / "0").mkdir()
    if os.geteuid() == 0:  # may write everywhere: the kernel's answer for somebody else
        monkeypatch.setattr(os, "access", lambda path, _mode: Path(path).stat().st_mode & 0o002 != 0)
    (tmp_path / "0").chmod(0o555)
    tmp_path.chmod(0o777)

    row = _one(says(f"{tmp_path}/0", told=told))

    assert row.status == "fail"
    assert row.message == f"{tmp_path / '0'} is not writable for uid {os.geteuid()}"
    assert f"HOMEPORT_UID={tmp_path.stat().st_uid} HOMEPORT_GID={tmp_path.stat().st_gid}" in row.fix


@pytest.mark.parametrize(
    "location", ["mlflow-artifacts:/0", "s3://mlflow/0", "file://elsewhere/srv/0", "relative/0", ""]
)
def test_artifacts_that_clients_do_not_write_themselves_need_no_row(says: Says, location: str) -> None:
    assert list(examine(says(location), {})) == []


def test_a_password_is_asked_for_and_given(says: Says, tmp_path: Path) -> None:
    told = {"directory": str(tmp_path), "id": marker.place(tmp_path)}
    uri = says(f"{tmp_path}/0", told=told, password="YTpi")

    assert "MLFLOW_TRACKING_USERNAME" in _one(uri).fix
    assert _one(uri, MLFLOW_TRACKING_USERNAME="a", MLFLOW_TRACKING_PASSWORD="b").status == "pass"


@pytest.mark.parametrize("uri", ["http://127.0.0.1:1", "sqlite:///mlflow.db", "databricks"])
def test_a_server_that_cannot_be_asked_is_a_warning(uri: str) -> None:
    assert _one(uri).status == "warn"
