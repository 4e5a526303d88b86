from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from homeport.training.__main__ import main
from tests.unit.training.wine_text import table_text

SLOW = {"mlflow", "pandas", "xgboost", "sklearn", "matplotlib", "palmerpenguins"}


@pytest.fixture(autouse=True)
def _signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("command", ["", "wine-quality", "penguins"])
def test_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    printed = capsys.readouterr()
    assert f"homeport train {command}".strip() in printed.out.partition("Example")[2]
    assert printed.err == ""


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["red-wine"],
        ["penguins", "--c", "0"],
        ["penguins", "--c", "nan"],
        ["penguins", "stray"],
        ["wine-quality", "--max-depth", "0"],
        ["wine-quality", "--n-estimators", "many"],
        ["wine-quality", "--min-child-weight", "inf"],
        ["wine-quality", "--data"],
        ["wine-quality", "--seed", "1"],
    ],
)
def test_a_wrong_argument_exits_2_with_one_block_and_where_to_look(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "--help" in printed.err
    assert printed.err.rstrip().endswith("USAGE")


def test_a_bad_file_is_refused_before_the_server_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "wine.csv").touch()
    assert main(["wine-quality", "--data", str(tmp_path / "wine.csv")]) == 2
    assert capsys.readouterr().err.startswith(f"✗ {tmp_path / 'wine.csv'} is empty\n")


@pytest.mark.parametrize("arguments", [["penguins"], ["wine-quality"]])
def test_an_unset_tracking_uri_exits_2_before_anything_is_downloaded(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOMEPORT_CACHE", str(tmp_path / "cache"))
    assert main(arguments) == 2
    assert "MLFLOW_TRACKING_URI is not set" in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()


def test_an_absent_server_exits_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "wine.csv"
    path.write_text(table_text())
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{taken.getsockname()[1]}")
        assert main(["wine-quality", "--data", str(path)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "does not answer" in printed.err
    assert "homeport up" in printed.err


@pytest.mark.parametrize("arguments", [["penguins", "--json"], ["penguins", "--json", "--c", "0"]])
def test_with_json_an_error_is_one_object_on_stdout(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    error = json.loads(printed.out)["error"]
    assert error["code"] in {"TRACKING_URI_UNSET", "USAGE"}
    assert error["fix"]
    assert printed.err == ""


def test_nothing_slow_is_imported_to_refuse_or_to_help() -> None:
    code = f"import sys, homeport.training.__main__; sys.exit(', '.join({SLOW} & set(sys.modules)) or None)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_program_knows_neither_the_supervisor_nor_the_command_line() -> None:
    code = (
        "import sys, homeport.training.__main__; "
        "sys.exit(', '.join(m for m in sys.modules if m.startswith(('homeport.supervisor', 'homeport.cli'))) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
