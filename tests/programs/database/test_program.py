"""Every program ends the same way: with its reason written down, said, and a code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from homeport import program
from homeport.errors import HomeportError
from tests.programs.database.programs import environment

REFUSE = "raise HomeportError(code='X_REFUSED', what='it was refused', fix='do otherwise', exit_code=2)"
WAIT = "print('ready', flush=True); import time; time.sleep(60)"


def start(body: str, reason: Path | None = None) -> subprocess.Popen[str]:
    imports = "from homeport import program\nfrom homeport.errors import HomeportError\n"
    code = f"{imports}def main():\n    {body}\nprogram.run(main)"
    env = environment({} if reason is None else {"HOMEPORT_REASON_FILE": str(reason)})
    return subprocess.Popen([sys.executable, "-c", code], stdout=-1, stderr=-1, text=True, env=env)


def test_a_refusal_is_written_down_said_and_becomes_the_exit_code(tmp_path: Path) -> None:
    ended = start(REFUSE, tmp_path / "reason.json")
    _, said = ended.communicate()
    assert ended.returncode == 2
    assert json.loads((tmp_path / "reason.json").read_text())["code"] == "X_REFUSED"
    assert said == "it was refused\n  fix          do otherwise\n  code         X_REFUSED\n"
    assert [path.name for path in tmp_path.iterdir()] == ["reason.json"]


def test_without_a_reason_file_it_is_only_said() -> None:
    ended = start(REFUSE)
    assert ended.communicate()[1].startswith("it was refused\n")


def test_a_reason_file_that_cannot_be_written_does_not_hide_the_reason() -> None:
    ended = start(REFUSE, Path("/proc/homeport/reason.json"))
    _, said = ended.communicate()
    assert ended.returncode == 2
    assert "it was refused" in said


def test_an_error_nobody_foresaw_is_written_down_with_its_line(tmp_path: Path) -> None:
    ended = start("{}['missing']", tmp_path / "reason.json")
    _, said = ended.communicate()
    error = json.loads((tmp_path / "reason.json").read_text())
    assert (ended.returncode, error["code"]) == (1, "UNEXPECTED")
    assert error["evidence"] == [{"label": "exception", "text": "KeyError: 'missing'"}]
    assert "Traceback" in said


@pytest.mark.parametrize(("sig", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_is_no_failure_and_has_its_code(sig: int, code: int, tmp_path: Path) -> None:
    running = start(WAIT, tmp_path / "reason.json")
    assert running.stdout is not None
    assert running.stdout.readline() == "ready\n"
    running.send_signal(sig)
    assert running.communicate()[1] == ""
    assert running.returncode == code
    assert not (tmp_path / "reason.json").exists()


def test_a_program_that_cannot_be_started_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HomeportError) as caught:
        program.replace([str(tmp_path / "none")], {})
    assert caught.value.code == "PROGRAM_NOT_STARTED"
    assert signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN  # who goes on must survive a closed pipe


def test_a_secret_comes_from_its_variable_or_its_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(" with spaces \r\n")
    assert program.secret("KEY", {"KEY": "value"}) == "value"
    assert program.secret("KEY", {"KEY_FILE": str(tmp_path / "key")}) == " with spaces "


@pytest.mark.parametrize(
    ("environ", "code"),
    [
        ({}, "SECRET_MISSING"),
        ({"KEY": ""}, "SECRET_MISSING"),
        ({"KEY": "a", "KEY_FILE": "/b"}, "SECRET_AMBIGUOUS"),
        ({"KEY_FILE": "/nonexistent"}, "SECRET_UNREADABLE"),
        ({"KEY_FILE": os.devnull}, "SECRET_EMPTY"),
    ],
)
def test_a_secret_that_is_not_there_names_both_variables(environ: dict[str, str], code: str) -> None:
    with pytest.raises(HomeportError) as caught:
        program.secret("KEY", environ)
    assert caught.value.code == code
    assert "KEY_FILE" in caught.value.what + caught.value.fix
    assert "KEY" in caught.value.fix


@pytest.mark.parametrize("text", ["x", "-1", "nan", "70000"])
def test_a_number_out_of_range_says_needed_and_found(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", text)
    with pytest.raises(HomeportError) as caught:
        program.number("PORT", low=1, high=65535)
    assert dict(caught.value.evidence) == {"needed": "a number from 1 to 65535", "found": text}
