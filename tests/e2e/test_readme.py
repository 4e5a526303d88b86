"""Every command on the pages people start with, run as a new user would: a HOME of their own and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import ROOT, console_blocks, normalised
from tests.e2e.harness import Homeport

PAGES = (
    "README.md",
    pytest.param("docs/quickstart.md", marks=pytest.mark.slow),
    pytest.param("docs/how-to/operate.md", marks=pytest.mark.slow),
    pytest.param("docs/how-to/serve-models.md", marks=pytest.mark.slow),
)
# `make install` and `make demo` are what runs these tests and what .ci/run does; activating is PATH below.
_DONE_ELSEWHERE = ("make ", ". .venv")


@pytest.fixture
def newcomer(tmp_path: Path, clone_free_environ: dict[str, str]) -> Iterator[dict[str, str]]:
    """Their environment: the clone's programs on the PATH, free ports since these tests may not be alone."""
    path = os.pathsep.join((str(Path(sys.executable).parent), clone_free_environ["PATH"]))
    environ = {**clone_free_environ, "PATH": path, "HOMEPORT_TRACKING_PORT": "0", "LANG": "C.UTF-8"}
    environ["HOMEPORT_SERVING_PORT"] = "0"
    yield environ
    Homeport(tmp_path / ".local" / "share" / "homeport", environ).close()


def shell(command: str, environ: dict[str, str], cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", command], env=environ, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        stdin=subprocess.DEVNULL, timeout=300, check=False,
    )  # fmt: skip


def ran(page: str, environ: dict[str, str], cwd: Path = ROOT) -> list[tuple[str, str, str]]:
    """Every command of a page in turn, all of which must succeed: with what the page shows, and what was printed."""
    rows = []
    for block in console_blocks(ROOT / page):
        for command, shown in block:
            if command.startswith(_DONE_ELSEWHERE):
                continue
            done = shell(command, environ, cwd)
            assert done.returncode == 0, f"$ {command}\n{done.stdout}"
            assert "Traceback" not in done.stdout, f"$ {command}\n{done.stdout}"
            rows.append((command, shown, done.stdout))
    return rows


def test_the_readmes_transcript_of_up_is_what_is_printed(newcomer: dict[str, str]) -> None:
    command, written = console_blocks(ROOT / "README.md")[0][0]
    printed = shell(command, newcomer)
    assert printed.returncode == 0, printed.stdout
    # Services that become healthy at the same moment may be printed in either order.
    assert sorted(normalised(printed.stdout).splitlines()) == sorted(normalised(written).splitlines())


@pytest.mark.parametrize("page", PAGES)
def test_every_command_on_the_page_runs(page: str, newcomer: dict[str, str]) -> None:
    ran(page, newcomer)


@pytest.mark.slow
def test_every_command_on_the_page_about_the_loop_runs_where_the_wine_is(
    newcomer: dict[str, str], wine_csv: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    shutil.copy(wine_csv, work / "winequality-white.csv")
    assert "read 10 labelled rows" in ran("docs/how-to/close-the-loop.md", newcomer, work)[-1][2]


@pytest.mark.slow
def test_the_page_about_the_fast_lane_shows_what_the_server_says_and_turns_it_off(newcomer: dict[str, str]) -> None:
    rows = ran("docs/how-to/fast-lane.md", newcomer)
    shown = [(shown, printed) for command, shown, printed in rows if "/ready" in command]
    assert shown
    assert all(json.loads(printed) == json.loads(written) for written, printed in shown)
    off = json.loads(shell("homeport run -- sh -c 'curl -s $MLFLOW_TRACKING_URI/ready'", newcomer).stdout)
    assert off["fast_lane"] == {"on": False, "why": "HOMEPORT_FASTLANE is off"}


@pytest.mark.slow
def test_the_verified_mlflow_is_verified_as_the_page_says(clone_free_environ: dict[str, str]) -> None:
    """What `make verify-mlflow` does beside running suites that CI runs anyway."""
    program = shell("make --dry-run verify-mlflow", clone_free_environ).stdout.splitlines()[-1]
    done = shell(f"{program} --quick", clone_free_environ)
    assert done.returncode == 0, done.stdout
    assert "The schema is the verified one." in done.stdout
