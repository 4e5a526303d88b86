"""A pytest plugin: `homeport_platform` is a real, private platform for your own tests, one a session.

    def test_my_training(homeport_platform):
        subprocess.run([sys.executable, "train.py"], env=homeport_platform.client_environ(), check=True)

It has free ports and a temporary home, starts when the first test asks for it, and leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from homeport.platform import Platform


@pytest.fixture(scope="session")
def homeport_platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A running platform of its own: `.tracking_uri`, `.env()`, `.client_environ()`, `.home`."""
    from homeport.platform import Platform

    # Only what is named here: the settings of the machine that runs the tests must not leak in.
    platform = Platform.private(tmp_path_factory.mktemp("homeport"))
    with platform:
        yield platform
    platform.remove()
