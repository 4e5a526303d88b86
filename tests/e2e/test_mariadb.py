"""MariaDB elsewhere as the metadata database, with a password that needs quoting in a URI."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from homeport.supervisor.ports import choose
from tests.e2e.harness import Homeport, eventually

pytestmark = pytest.mark.system
NewHome = Callable[..., Homeport]


@pytest.fixture
def mariadb_uri(tmp_path: Path) -> Iterator[str]:
    """An empty database `mlflow` in a MariaDB of the test's own."""
    if shutil.which("mariadbd") is None:
        pytest.skip("no MariaDB on this machine")
    data, socket, port = tmp_path / "mariadb", tmp_path / "m.sock", choose(set())
    user = ["--user=root"] if Path.home() == Path("/root") else []
    subprocess.run(
        ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", *user],
        check=True, capture_output=True,
    )  # fmt: skip
    options = [f"--datadir={data}", f"--socket={socket}", f"--port={port}", "--bind-address=127.0.0.1", *user]
    with (tmp_path / "mariadb.log").open("wb") as log:
        server = subprocess.Popen(["mariadbd", "--no-defaults", *options], stdout=log, stderr=log)
    grant = "grant all on mlflow.* to 'me'@'{0}' identified by 'p@ss:w/d'"
    client = ["mariadb", "--no-defaults", f"--socket={socket}", "-u", "root", "-e"]
    try:
        statements = ["create database mlflow", grant.format("127.0.0.1"), grant.format("localhost")]
        eventually(lambda: subprocess.run([*client, "; ".join(statements)], check=False).returncode == 0, 60, "MariaDB")
        yield f"mariadb://me:p%40ss%3Aw%2Fd@127.0.0.1:{port}/mlflow"
    finally:
        server.terminate()
        server.wait(60)


def test_mariadb_elsewhere_serves_a_training_and_keeps_it_over_a_restart(new_home: NewHome, mariadb_uri: str) -> None:
    home = new_home(MLFLOW_BACKEND_STORE_URI=mariadb_uri)
    home.up()
    assert "database" not in [row["name"] for row in home.status()["services"]]
    home.ok("train", "penguins")
    home.ok("down")
    home.up()
    assert "schema at head" in home.ok("logs", "tracking-migrate")
    found = home.ok(
        "run", "--", "python", "-W", "ignore", "-c",
        "import mlflow; print(mlflow.MlflowClient().get_model_version_by_alias('penguins', 'champion').version)",
    )  # fmt: skip
    assert found.strip() == "1"


def test_a_wrong_password_of_mariadb_is_one_error_block(new_home: NewHome, mariadb_uri: str) -> None:
    home = new_home(MLFLOW_BACKEND_STORE_URI=mariadb_uri.replace("p%40ss", "wrong"))
    error = home.refused("up", "--detach", exit_code=1)
    assert error["code"] == "DATABASE_PASSWORD_REFUSED"
    assert "correct MLFLOW_BACKEND_STORE_URI" in error["text"]
    assert "wrong" not in error["text"].replace("wrongly", "")
