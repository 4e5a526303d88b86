from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from homeport.container import command, resolved
from homeport.errors import HomeportError


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    directory = tmp_path / "secrets"
    directory.mkdir()
    return directory


def refused(environ: Mapping[str, str], secrets: Path) -> HomeportError:
    with pytest.raises(HomeportError) as caught:
        resolved(environ, secrets)
    return caught.value


def test_a_secret_file_becomes_the_variable_without_its_last_line_break(secrets: Path) -> None:
    (secrets / "admin-password").write_text("two words\\ and a $ \n")
    environ = resolved({"MLFLOW_AUTH_ADMIN_PASSWORD_FILE": f"{secrets}/admin-password", "HOME": "/tmp"}, secrets)
    assert environ == {"MLFLOW_AUTH_ADMIN_PASSWORD": "two words\\ and a $ ", "HOME": "/tmp"}


def test_a_template_is_filled_with_secrets_percent_encoded(secrets: Path) -> None:
    (secrets / "database-password").write_text("p@ss/wörd:%{}\r\n")
    uri = "postgresql+psycopg2://mlflow:{database-password}@database:5432/mlflow?a={database-password}"
    environ = resolved({"MLFLOW_BACKEND_STORE_URI_TEMPLATE": uri}, secrets)
    encoded = "p%40ss%2Fw%C3%B6rd%3A%25%7B%7D"
    assert environ == {
        "MLFLOW_BACKEND_STORE_URI": f"postgresql+psycopg2://mlflow:{encoded}@database:5432/mlflow?a={encoded}"
    }


def test_a_secret_that_looks_like_a_place_is_not_filled_again(secrets: Path) -> None:
    (secrets / "one").write_text("{two}")
    (secrets / "two").write_text("never")
    assert resolved({"X_TEMPLATE": "a{one}b"}, secrets)["X"] == "a%7Btwo%7Db"


def test_a_template_without_a_place_is_taken_as_it_is(secrets: Path) -> None:
    assert resolved({"X_TEMPLATE": "sqlite:////data/mlflow.db"}, secrets) == {"X": "sqlite:////data/mlflow.db"}


@pytest.mark.parametrize("path", ["/etc/ssl/cert.pem", "relative/run/secrets/x", "{secrets}/../x", "{secrets}-x/y"])
def test_a_file_that_is_no_secret_stays_the_programs_own_affair(secrets: Path, path: str) -> None:
    environ = {"SSL_CERT_FILE": path.replace("{secrets}", str(secrets))}
    assert resolved(environ, secrets) == environ


def test_what_is_empty_counts_as_not_set(secrets: Path) -> None:
    environ = {"X_FILE": "", "Y_TEMPLATE": "", "Z": ""}
    assert resolved(environ, secrets) == environ


def test_an_empty_variable_does_not_stand_in_the_way_of_its_secret(secrets: Path) -> None:
    (secrets / "key").write_text("k")
    assert resolved({"X": "", "X_FILE": f"{secrets}/key"}, secrets) == {"X": "k"}


def test_a_missing_secret_names_the_variable_and_the_file(secrets: Path) -> None:
    error = refused({"AWS_SECRET_ACCESS_KEY_FILE": f"{secrets}/objectstore-secret-key"}, secrets)
    assert error.code == "CONTAINER_SECRET_UNREADABLE"
    assert "AWS_SECRET_ACCESS_KEY_FILE" in error.what
    assert f"{secrets}/objectstore-secret-key" in error.what
    assert "secrets/objectstore-secret-key" in error.fix


def test_a_missing_secret_of_a_template_names_both_too(secrets: Path) -> None:
    error = refused({"MLFLOW_BACKEND_STORE_URI_TEMPLATE": "postgresql://m:{database-password}@d/m"}, secrets)
    assert "MLFLOW_BACKEND_STORE_URI_TEMPLATE" in error.what
    assert f"{secrets}/database-password" in error.what


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n\n"])
def test_an_empty_secret_is_refused(secrets: Path, content: bytes) -> None:
    (secrets / "key").write_bytes(content)
    error = refused({"X_FILE": f"{secrets}/key"}, secrets)
    assert error.code == "CONTAINER_SECRET_EMPTY"
    assert "X_FILE" in error.what


def test_a_secret_that_is_no_text_is_refused(secrets: Path) -> None:
    (secrets / "key").write_bytes(b"\xff\xfe\x00")
    error = refused({"X_FILE": f"{secrets}/key"}, secrets)
    assert ("error", "not UTF-8 text") in error.evidence


def test_a_directory_where_a_secret_should_be_is_refused(secrets: Path) -> None:
    (secrets / "key").mkdir()  # what Docker makes when the file of a bind mount is missing
    assert refused({"X_FILE": f"{secrets}/key"}, secrets).code == "CONTAINER_SECRET_UNREADABLE"


@pytest.mark.parametrize("other", [{"X": "set"}, {"X_TEMPLATE": "{key}"}])
def test_two_ways_to_say_one_thing_are_refused(secrets: Path, other: dict[str, str]) -> None:
    (secrets / "key").write_text("k")
    error = refused({"X_FILE": f"{secrets}/key"} | other, secrets)
    assert error.code == "CONTAINER_SECRET_AMBIGUOUS"
    assert "X_FILE" in error.what
    assert next(iter(other)) in error.what


def test_no_refusal_shows_a_secret(secrets: Path) -> None:
    (secrets / "key").write_text("hunter2")
    error = refused({"X_FILE": f"{secrets}/key", "X": "hunter2"}, secrets)
    assert "hunter2" not in json.dumps(error.as_dict())


def test_python_is_the_one_that_runs_the_entry_point() -> None:
    assert command(["python", "-m", "homeport.tracking"], {}) == [sys.executable, "-m", "homeport.tracking"]


def test_other_programs_are_looked_up_on_the_path(tmp_path: Path) -> None:
    program = tmp_path / "homeport"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert command(["homeport", "render", "env"], {"PATH": str(tmp_path)}) == [str(program), "render", "env"]


def test_an_unknown_program_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(HomeportError) as caught:
        command(["gcc"], {"PATH": str(tmp_path)})
    assert "`gcc`" in caught.value.what
    with pytest.raises(HomeportError) as caught:
        command([], {})
    assert caught.value.code == "CONTAINER_COMMAND_MISSING"


def test_the_program_takes_the_place_of_the_entry_point() -> None:
    script = "import os, sys; print(os.getpid(), os.environ['X'], *sys.argv[1:])"
    environ = os.environ | {"X_TEMPLATE": "as it is"}
    argv = [sys.executable, "-m", "homeport.container", "python", "-c", script, "a b"]
    with subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, text=True) as process:
        out, _ = process.communicate(timeout=30)
    assert out == f"{process.pid} as it is a b\n"


def test_a_refusal_ends_with_its_block_on_stderr() -> None:
    environ = os.environ | {"X_FILE": "/run/secrets/of-no-one"}
    argv = [sys.executable, "-m", "homeport.container", "python", "-c", "print('ran')"]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "X_FILE needs the secret file /run/secrets/of-no-one" in done.stderr
    assert "CONTAINER_SECRET_UNREADABLE" in done.stderr


def test_the_entry_point_imports_nothing_heavy() -> None:
    script = (
        "import sys, homeport.container; print(*{name.partition('.')[0] for name in sys.modules}"
        " & {'mlflow', 'pandas', 'boto3', 'sqlalchemy', 'click', 'requests', 'numpy'})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "\n"
