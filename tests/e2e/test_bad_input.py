"""Every wrong setting, path, port or home: one error block, the right exit code, nothing started, nothing lost."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import HOMEPORT, Homeport

NewHome = Callable[..., Homeport]


@pytest.mark.parametrize(
    ("environ", "code"),
    [
        ({"HOMEPORT_TRACKING_PORT": "http"}, "SETTING_INVALID"),
        ({"HOMEPORT_WORKERS": "-3"}, "SETTING_INVALID"),
        ({"HOMEPORT_BUCKET": "Not A Bucket"}, "SETTING_INVALID"),
        ({"MLFLOW_BACKEND_STORE_URI": "oracle://x/y"}, "SETTING_INVALID"),
        ({"MLFLOW_ARTIFACTS_DESTINATION": "s3://"}, "SETTING_INVALID"),
        ({"MLFLOW_S3_ENDPOINT_URL": "localhost:9000"}, "SETTING_INVALID"),
        ({"POSTGRES_PASSWORD_FILE": "/nowhere/at/all"}, "SETTING_INVALID"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_starts(
    new_home: NewHome, environ: dict[str, str], code: str
) -> None:
    home = new_home(**environ)
    assert home.refused("up", "--detach", exit_code=2)["code"] == code
    assert not home.home.exists()


def test_a_postgres_bin_without_postgresql_is_refused(new_home: NewHome, tmp_path: Path) -> None:
    home = new_home(HOMEPORT_POSTGRES_BIN=str(tmp_path))
    done = home.run("up", "--detach", "--json")
    assert done.returncode in {1, 2}
    assert "HOMEPORT_POSTGRES_BIN" in json.dumps(json.loads(done.stdout.splitlines()[-1]))


def test_a_wrong_command_line_exits_2(new_home: NewHome) -> None:
    home = new_home()
    assert home.run("up", "--no-such-option").returncode == 2
    done = home.run("statsu")
    assert done.returncode == 2
    assert "status" in done.stderr
    assert home.refused("train", "pinguins", exit_code=2)["code"] == "PIPELINE_UNKNOWN"


def test_an_unknown_variable_of_ours_warns_and_the_command_goes_on(new_home: NewHome) -> None:
    done = new_home(HOMEPORT_TRAKING_PORT="1").run("config", "show")
    assert done.returncode == 0
    assert "Did you mean HOMEPORT_TRACKING_PORT?" in done.stderr


def test_a_taken_port_names_its_holder_and_starts_nothing(new_home: NewHome) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        error = new_home(HOMEPORT_TRACKING_PORT=str(port)).refused("up", "--detach", exit_code=1)
    assert error["code"] == "PORT_TAKEN"
    assert str(os.getpid()) in error["text"]
    assert "HOMEPORT_TRACKING_PORT" in error["text"]


def test_a_home_that_is_a_file_is_refused(new_home: NewHome, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    home = new_home(tmp_path / "file")
    home.refused("up", "--detach", exit_code=1)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a tmpfs, which only root can."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        place = tmp_path / f"disk-{len(mounted)}"
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "homeport-test", str(place)], check=True)
        mounted.append(place)
        return place

    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small disk needs root")
    yield mount
    for place in mounted:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_home_on_a_disk_that_is_too_small_is_refused_with_needed_and_found(
    new_home: NewHome, small_disk: Callable[[str], Path]
) -> None:
    home = new_home(small_disk("size=16m") / "home")
    error = home.refused("up", "--detach", exit_code=1)
    assert error["code"] == "DISK_FULL"
    assert "256 MiB needed" in error["text"]


def test_a_home_on_a_full_disk_is_refused(new_home: NewHome, small_disk: Callable[[str], Path]) -> None:
    place = small_disk("size=1m")
    with (place / "filler").open("wb") as filler, pytest.raises(OSError):  # noqa: PT011 - full is what is wanted
        filler.write(b"0" * 2_000_000)
    assert new_home(place / "home").refused("up", "--detach", exit_code=1)["code"] == "DISK_FULL"


def test_a_read_only_home_is_refused(new_home: NewHome, small_disk: Callable[[str], Path]) -> None:
    place = small_disk("size=400m")
    (place / "home").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    error = new_home(place / "home").refused("up", "--detach", exit_code=1)
    assert error["code"] == "HOME_NOT_WRITABLE"


def test_a_database_elsewhere_that_does_not_answer_ends_in_one_block_and_nothing_runs(new_home: NewHome) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    home = new_home(MLFLOW_BACKEND_STORE_URI=f"postgresql://me:secretword@127.0.0.1:{port}/mlflow")
    error = home.refused("up", "--detach", "--timeout", "8", exit_code=1)
    assert str(port) in error["text"]
    assert "secretword" not in error["text"]
    assert home.run("status").returncode == 3


@pytest.mark.slow
def test_sqlite_elsewhere_and_a_directory_for_artifacts_need_no_service_of_ours(
    new_home: NewHome, tmp_path: Path
) -> None:
    home = new_home(
        MLFLOW_BACKEND_STORE_URI=f"sqlite:///{tmp_path}/m.db", MLFLOW_ARTIFACTS_DESTINATION=str(tmp_path / "artifacts")
    )
    home.up()
    assert [row["name"] for row in home.status()["services"]] == ["tracking-migrate", "tracking", "serving"]
    done = home.run("run", "--", "python", "-W", "ignore", "-c", "import mlflow; mlflow.log_text('x', 'a.txt')")
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "artifacts").rglob("a.txt"))


def test_help_of_every_command_works_without_a_home(clone_free_environ: dict[str, str]) -> None:
    from homeport.cli.main import COMMANDS

    for command in [name for group in COMMANDS.values() for name in group]:
        done = subprocess.run(
            [HOMEPORT, command, "--help"], env=clone_free_environ, capture_output=True, text=True, check=True
        )
        assert "Usage:" in done.stdout
        assert "Example" in done.stdout or command == "config"
