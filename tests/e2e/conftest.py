"""Real platforms for end-to-end tests, the leak check around each of them, and waiting without sleeping."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.differential.pair import Side, homeport, postgres
from tests.e2e.harness import Homeport, Leaks, leaks
from tests.e2e.served import Serving


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Homeport]:
    """One platform for all tests that only use it."""
    with Homeport(tmp_path_factory.mktemp("platform") / "home") as running:
        running.up()
        yield running


@pytest.fixture
def new_home(tmp_path: Path) -> Iterator[Callable[..., Homeport]]:
    """Makes platforms of the test's own, in homes of its own; nothing of them is left afterwards."""
    made: list[Homeport] = []
    before = leaks()

    def make(home: Path | None = None, **environ: str) -> Homeport:
        made.append(Homeport(home or tmp_path / f"homeport-{len(made)}", environ))
        return made[-1]

    yield make
    for each in made:
        each.close()
    _assert_nothing_left(before, [each.home for each in made])


def _assert_nothing_left(before: Leaks, homes: list[Path]) -> None:
    new = leaks() - before
    mine = [text for text in new.texts() if any(str(home) in text for home in homes)]
    assert not mine, f"left behind: {mine}"


@pytest.fixture(scope="session")
def serving(platform: Homeport, wine_csv: Path) -> Serving:
    """The platform's serving API with both reference models in it: wine-quality@champion and penguins@champion."""
    platform.ok("train", "wine-quality", "--data", str(wine_csv))
    platform.ok("train", "penguins")
    served = Serving(platform)
    served.serves("wine-quality", "1")
    served.serves("penguins", "1")
    return served


@pytest.fixture(scope="session")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    """A tracking server with the fast lane on, alone on a PostgreSQL."""
    with postgres() as server, homeport(server, tmp_path_factory.mktemp("tracking"), "tracking") as side:
        yield side


@pytest.fixture
def clone_free_environ(tmp_path: Path) -> dict[str, str]:
    """The environment of a user who has nothing of ours set, in a HOME of their own."""
    keep = {"PATH", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", "TMPDIR"}
    environ = {name: value for name, value in os.environ.items() if name in keep}
    return {**environ, "HOME": str(tmp_path)}


@pytest.fixture
def python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs Python source in a client's environment."""

    def run(source: str, environ: dict[str, str], timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "ignore", "-c", source],
            env=environ, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    return run


@pytest.fixture(scope="session")
def chromium() -> str:
    """The Chromium on this machine."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium on this machine")
    return found
