from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster.platform import Loop, Platform
from tests.cluster.release import Release

FAULTS: dict[str, Callable[[Platform], None]] = {
    "tracking's process is killed": lambda platform: platform.kill("tracking"),
    "the database's process is killed": lambda platform: platform.kill("database"),
    "the object store's process is killed": lambda platform: platform.kill("objectstore"),
    "tracking's pod is deleted": lambda platform: platform.delete("tracking"),
    "tracking's pod is gone at once": lambda platform: platform.delete("tracking", "--grace-period=0", "--force"),
    "the database's pod is deleted": lambda platform: platform.delete("database"),
    "the database's pod is gone at once": lambda platform: platform.delete("database", "--grace-period=0", "--force"),
}


@pytest.fixture(scope="module")
def platform(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    release.install()
    made = Platform(release)
    made.constant("steady", 2.5, tmp_path_factory.mktemp("model"))
    yield made
    release.uninstall()


@pytest.mark.parametrize("fault", FAULTS)
def test_every_acknowledged_metric_is_there_once_after(platform: Platform, tmp_path: Path, fault: str) -> None:
    with Loop(platform, tmp_path) as loop:
        FAULTS[fault](platform)
        loop.goes_on()
        loop.end()
        loop.assert_nothing_lost()
    assert platform.predict("steady") == ("1", 2.5)


def test_models_are_served_on_while_tracking_is_away(platform: Platform) -> None:
    platform.release.kubectl("scale", "deployment/homeport-tracking", "--replicas=0")
    platform.release.ready("tracking", 0)
    assert platform.predict("steady") == ("1", 2.5)
    platform.release.kubectl("scale", "deployment/homeport-tracking", "--replicas=1")
    platform.release.ready("tracking")
