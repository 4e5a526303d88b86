"""The committed renders are what the chart renders: a change of the chart shows in them, or this fails."""

from __future__ import annotations

import difflib

import pytest

from tests.chart.goldens import DIRECTORY, SITES, golden, written
from tests.chart.matrix import sites
from tests.chart.rendering import GENERATED, render


@pytest.mark.parametrize("site", SITES)
def test_the_committed_render_of_a_site_is_what_is_rendered(site: str) -> None:
    before, now = (text.splitlines() for text in (golden(site).read_text(), written(render(sites()[site]))))
    difference = "\n".join(difflib.unified_diff(before, now, golden(site).name, "rendered", n=2, lineterm=""))
    assert not difference, f"{difference}\n\npython -m tests.chart.goldens writes them anew"


def test_no_render_of_a_site_that_is_gone_is_left_behind() -> None:
    assert {path.name for path in DIRECTORY.iterdir()} == {golden(site).name for site in SITES}


def test_no_secret_is_committed() -> None:
    data = {name: value for site in SITES for secret in render(sites()[site]).all("Secret")
            for name, value in secret.masked.get("data", {}).items()}  # fmt: skip
    assert data
    assert set(data.values()) == {GENERATED}
