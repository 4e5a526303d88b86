from __future__ import annotations

import io
import json

import pytest

from homeport.cli.output import Output, table
from homeport.cli.progress import StartProgress
from homeport.errors import HomeportError


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


ERROR = HomeportError(code="X_Y", what="it failed", why="because", fix="do this")


def test_results_go_to_stdout_and_progress_and_errors_to_stderr() -> None:
    out, err = io.StringIO(), io.StringIO()
    output = Output(stdout=out, stderr=err)
    output.result("result")
    output.progress("progress")
    output.error(ERROR)
    assert out.getvalue() == "result\n"
    assert err.getvalue().startswith("progress\nx it failed\n")


def test_an_error_as_json_is_one_object_on_stdout() -> None:
    out, err = io.StringIO(), io.StringIO()
    Output(as_json=True, stdout=out, stderr=err).error(ERROR)
    assert json.loads(out.getvalue())["error"]["code"] == "X_Y"
    assert err.getvalue() == ""


def test_no_colour_without_a_terminal_or_with_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Output(stderr=io.StringIO()).colour("x", "red") == "x"
    assert "\x1b[31m" in Output(stderr=Terminal()).colour("x", "red")
    monkeypatch.setenv("NO_COLOR", "1")
    assert Output(stderr=Terminal()).colour("x", "red") == "x"


def test_a_transient_line_is_only_written_to_a_terminal_and_is_cleared_by_the_next() -> None:
    plain, terminal = io.StringIO(), Terminal()
    Output(stderr=plain).transient("… database")
    assert plain.getvalue() == ""
    output = Output(stderr=terminal)
    output.transient("… database")
    output.progress("done")
    assert terminal.getvalue() == "… database\r\x1b[2Kdone\n"


def test_quiet_shows_errors_but_no_progress() -> None:
    err = io.StringIO()
    output = Output(quiet=True, stderr=err)
    output.progress("progress")
    output.error(ERROR)
    assert "progress" not in err.getvalue()
    assert "it failed" in err.getvalue()


def test_a_table_is_aligned_and_has_no_trailing_blanks() -> None:
    assert table([("a", "long", ""), ("bbb", "c", "d")], indent="") == ["a    long", "bbb  c     d"]


def state(
    service: str, name: str, owner: str | None = None, detail: str = "", seconds: float = 1.0
) -> dict[str, object]:
    kind = "job" if owner else "service"
    row = {"event": "state", "service": service, "state": name, "kind": kind, "owner": owner or service}
    return {**row, "detail": detail, "seconds": seconds}


def test_a_service_is_printed_once_when_it_and_its_jobs_are_done() -> None:
    err = io.StringIO()
    progress = StartProgress(Output(stderr=err))
    for event in (
        state("init", "pending", "store"),
        state("store", "healthy"),
        state("init", "running", "store"),
        state("init", "completed", "store", "bucket made"),
        state("store", "healthy"),
        {"event": "ready", "seconds": 2.0},
    ):
        progress.show(event)
    assert err.getvalue().splitlines() == ["  + store         healthy    1.0 s  bucket made", "Ready in 2.0 s"]


def test_a_failed_start_raises_the_error_of_the_event() -> None:
    progress = StartProgress(Output(stderr=io.StringIO()))
    with pytest.raises(HomeportError) as caught:
        progress.show({"event": "failed", "error": ERROR.as_dict()})
    assert caught.value == ERROR
