"""For every test: a clean environment of ours, and no skips where HOMEPORT_NO_SKIP=1."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The same examples in every run, so that what lands does not hang on luck; HOMEPORT_EXPLORE=1 draws others, for who has
# the time to look at what they find. No test hangs on how fast the machine is, either.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fixed", _PATIENT, derandomize=True, database=None)
settings.register_profile("explore", _PATIENT, print_blob=True)
settings.load_profile("explore" if os.environ.get("HOMEPORT_EXPLORE") == "1" else "fixed")

ROOT = Path(__file__).resolve().parents[1]
WINE = "winequality-white.csv"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]  # noqa: ANN201 - pluggy's wrapper protocol has no public type
    """A skip is a failure in CI: what a test needs is installed there."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("HOMEPORT_NO_SKIP") == "1" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and HOMEPORT_NO_SKIP=1: {report.longrepr}"


@pytest.fixture(autouse=True)
def _environment_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the machine that runs the tests is a setting of the platform under test."""
    for name in list(os.environ):
        if name.startswith(("HOMEPORT_", "MLFLOW_", "POSTGRES_", "AWS_")) and name not in {
            "HOMEPORT_NO_SKIP",
            "AWS_CA_BUNDLE",
        }:
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def wine_csv() -> Path:
    """The real wine data: beside the project, or from the cache that `homeport train wine-quality` fills."""
    from homeport.settings import default_cache

    for file in (ROOT.parent / "shared" / "data" / WINE, default_cache() / WINE):
        if file.is_file():
            return file
    pytest.skip(f"no {WINE}: run `homeport train wine-quality` once, with a network")
