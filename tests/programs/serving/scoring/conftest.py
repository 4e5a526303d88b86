"""Saved models, one directory for all tests. MLflow warns when it is imported: that happens here."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow.pyfunc  # noqa: F401 - imported for its side effect

    from tests.programs.serving.scoring.models import saved

from homeport.serving.scoring.scorer import Scorer


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    directory = tmp_path_factory.mktemp("models")
    return lambda name: saved(name, directory)


@pytest.fixture(scope="session")
def scorers(models: Callable[[str], Path]) -> Callable[[str], Scorer]:
    @cache
    def load(name: str) -> Scorer:
        return Scorer.load(models(name), name=name, version="1")

    return load
