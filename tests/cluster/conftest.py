"""One node for all tests of this folder, with the platform's images in it; and a check that nothing of it stays."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import images
from tests.cluster.node import Node
from tests.cluster.release import Release
from tests.e2e.images.homeport import HOMEPORT, LOADTEST

HERE = Path(__file__).parent
SETTINGS = {name: os.environ.get(name, "") for name in ("HOMEPORT_TEST_CLUSTER_BIN", "HOMEPORT_TEST_CLUSTER_CNI")}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these need the node, and a release takes its time."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def binaries() -> Path:
    """The node's programs. They are not made here: that takes minutes, and nobody expects it of a test."""
    if not SETTINGS["HOMEPORT_TEST_CLUSTER_BIN"]:
        pytest.skip("HOMEPORT_TEST_CLUSTER_BIN is not set; `.ci/cluster DIRECTORY` makes what belongs there")
    return Path(SETTINGS["HOMEPORT_TEST_CLUSTER_BIN"])


@pytest.fixture(scope="session")
def node(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A running node that has the images."""
    base = tmp_path_factory.mktemp("homeport-cluster")
    archive = base / "platform.tar"
    images.save(archive)
    plugins = Path(SETTINGS["HOMEPORT_TEST_CLUSTER_CNI"] or "/usr/lib/cni")
    with Node(base / "node", binaries, plugins) as node:
        node.load(base / "node" / "pause.tar", archive)
        archive.unlink()
        # As the chart names it, and a second name for upgrades to another.
        for name in (f"ghcr.io/homeport/{HOMEPORT}", "ghcr.io/homeport/homeport:next"):
            node.tag(f"docker.io/library/{HOMEPORT}", name)
        node.tag(f"docker.io/library/{LOADTEST}", f"ghcr.io/homeport/{LOADTEST}")
        assert node.left()
        yield node
        assert node.ended() == []
    assert node.left() == []


@pytest.fixture(scope="module")
def release(node: Node, request: pytest.FixtureRequest) -> Iterator[Release]:
    """A namespace of the module's own, gone afterwards with everything in it."""
    namespace = request.module.__name__.rpartition("test_")[2].replace("_", "-")
    yield Release(node, namespace)
    node.kubectl("delete", "namespace", namespace, "--wait", timeout=240)
