"""The rows of a run as MLflow datasets: where they come from, their digest and schema, and which column is learned.

How they were split it refuses to know.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlflow.data.http_dataset_source import HTTPDatasetSource
from mlflow.data.pandas_dataset import from_pandas

# Given a plain path instead of an instance of this, MLflow warns that the source is ambiguous: it registers it twice.
from mlflow.data.sources import LocalArtifactDatasetSource

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.data.dataset import Dataset


def datasets(name: str, rows: tuple[pd.DataFrame, pd.DataFrame], source: Path | str, target: str) -> dict[str, Dataset]:
    """MLflow's two contexts, ``training`` and ``testing``, each with its dataset.

    Args:
        name: prefix of the datasets' names.
        rows: those to learn from and those held out.
        source: the file, or the address it was downloaded from.
        target: the column to learn.
    """
    origin = HTTPDatasetSource(source) if isinstance(source, str) else LocalArtifactDatasetSource(str(source.resolve()))
    train, test = rows
    return {
        "training": from_pandas(train, source=origin, targets=target, name=f"{name}-train"),
        "testing": from_pandas(test, source=origin, targets=target, name=f"{name}-test"),
    }


def fresh_dataset(name: str, rows: pd.DataFrame, url: str, target: str) -> Dataset:
    """The rows that came from feedback as a dataset of their own; arguments as `datasets`."""
    return from_pandas(rows, source=HTTPDatasetSource(url), targets=target, name=f"{name}-fresh")
