"""Real platforms in containers: images made once, one stack that several tests look at, and the leak check of all."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.compose.project import Stack, install_compose, left

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these need an engine, and a start takes its time."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.compose)
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Every image that compose.yaml names: stand-ins where no registry can be reached, and our own, built."""
    asked = subprocess.run(["docker", "info"], capture_output=True, check=False) if shutil.which("docker") else None
    if asked is None or asked.returncode:
        pytest.skip("no Docker engine answers; .ci/run starts one")
    from tests.e2e.images import stand_ins
    from tests.e2e.images.homeport import make_homeport, make_loadtest

    stand_ins.make()
    make_loadtest(os.environ.get("HOMEPORT_TEST_IMAGE") or make_homeport())
    with pytest.MonkeyPatch.context() as patch:
        for name, value in install_compose(tmp_path_factory.mktemp("docker")).items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session", autouse=True)
def nothing_left() -> Iterator[None]:
    """Containers, networks and volumes of tests: after all tests there are as many as before."""
    if shutil.which("docker") is None:
        yield
        return
    before = left()
    yield
    assert left() == before


@pytest.fixture
def new_stack(images: None, tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    """Makes projects of the test's own; nothing of them is left afterwards."""
    made: list[Stack] = []

    def make(**environ: str) -> Stack:
        made.append(Stack(tmp_path / f"site-{len(made)}", environ))
        return made[-1]

    yield make
    for each in made:
        each.close()
    mine = {each.project for each in made}
    for kind, names in left().items():
        assert not [name for name in names if any(name.startswith(project) for project in mine)], kind


@pytest.fixture(scope="session")
def running(images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack for all tests that only use it, brought up by Docker alone, with the penguins trained in it."""
    stack = Stack(tmp_path_factory.mktemp("compose") / "site")
    try:
        stack.write()
        stack.bring_up()
        stack.trust()
        yield stack
    finally:
        stack.close()


@pytest.fixture(scope="session")
def trained(running: Stack) -> Stack:
    """The same with the reference training run in its container, and the model promoted and served."""
    running.composed("--profile", "training", "run", "--rm", "-T", "training")
    running.serves("penguins", "1")
    return running
