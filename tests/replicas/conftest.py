"""A platform of replicas a test, and the leak check around it: processes, namespaces, interfaces."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.harness import leaks
from tests.programs.database.rooms import make_room
from tests.replicas.hosts import Cluster, cluster
from tests.replicas.network import things
from tests.replicas.parts import DATABASE_USER

MakeCluster = Callable[..., Cluster]


@pytest.fixture
def replicas() -> Iterator[MakeCluster]:
    """Makes platforms; nothing of them is left afterwards."""
    before, memory = leaks(), _memory()
    room = make_room()
    room.chmod(0o755)  # the database runs as another user
    try:
        with ExitStack() as stack:

            def make(
                *, tracking: int = 3, serving: int = 0, auth: bool = False,
                environ: Mapping[str, Mapping[str, str]] | None = None,
            ) -> Cluster:  # fmt: skip
                return stack.enter_context(
                    cluster(room, tracking=tracking, serving=serving, auth=auth, environ=environ)
                )

            yield make
        left = [text for _, _, text in (leaks() - before).processes if str(room) in text]
        assert not left, f"left behind: {left}"
        assert not _memory() - memory, "the database left memory behind"
        assert not things(), f"left behind: {things()}"
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _memory() -> frozenset[str]:
    """Shared memory of the user that the harness's database runs as."""
    said = subprocess.run(["ipcs", "-m"], capture_output=True, text=True, check=True).stdout.splitlines()
    segments = {line.split()[1] for line in said if f" {DATABASE_USER} " in line}
    files = {path.name for path in Path("/dev/shm").glob("PostgreSQL.*") if path.owner() == DATABASE_USER}
    return frozenset(segments | files)
