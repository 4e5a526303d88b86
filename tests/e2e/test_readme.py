"""Every command on the pages people start with, run as a new user would: a HOME of their own and nothing else."""

from __future__ import annotations

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


def test_the_readmes_transcript_of_up_is_what_is_printed(newcomer: dict[str, str]) -> None:
    command, written = console_blocks(ROOT / "README.md")[0][0]
    printed = shell(command, newcomer)
    assert printed.returncode == 0, printed.stdout
    # Services that become healthy at the same moment may be printed in either order.
    assert sorted(normalised(printed.stdout).splitlines()) == sorted(normalised(written).splitlines())


@pytest.mark.parametrize("page", PAGES)
def test_every_command_on_the_page_runs(page: str, newcomer: dict[str, str]) -> None:
    for block in console_blocks(ROOT / page):
        for command, _ in block:
            if command.startswith(_DONE_ELSEWHERE):
                continue
            done = shell(command, newcomer)
            assert done.returncode == 0, f"$ {command}\n{done.stdout}"
            assert "Traceback" not in done.stdout, f"$ {command}\n{done.stdout}"


@pytest.mark.slow
def test_every_command_on_the_page_about_the_loop_runs_where_the_wine_is(
    newcomer: dict[str, str], wine_csv: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    shutil.copy(wine_csv, work / "winequality-white.csv")
    said = ""
    for block in console_blocks(ROOT / "docs/how-to/close-the-loop.md"):
        for command, _ in block:
            done = shell(command, newcomer, work)
            assert done.returncode == 0, f"$ {command}\n{done.stdout}"
            assert "Traceback" not in done.stdout, f"$ {command}\n{done.stdout}"
            said = done.stdout
    assert "read 10 labelled rows" in said
