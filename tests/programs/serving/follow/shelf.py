"""One registered model of a test: versions by slope, aliases, its end. Knows nothing of who serves it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient

Register = Callable[[str, Path], str]
Saved = Callable[[float], Path]


class Shelf:
    """One registered model: versions by slope, aliases."""

    def __init__(self, client: MlflowClient, register: Register, saved: Saved, name: str) -> None:
        self._client, self._register, self._saved = client, register, saved
        self.name = name

    def add(self, slope: float, alias: str = "") -> str:
        return self.add_files(self._saved(slope), alias)

    def add_files(self, directory: Path, alias: str = "") -> str:
        version = self._register(self.name, directory)
        if alias:
            self.set(alias, version)
        return version

    def set(self, alias: str, version: str) -> None:
        self._client.set_registered_model_alias(self.name, alias, version)

    def unset(self, alias: str) -> None:
        self._client.delete_registered_model_alias(self.name, alias)

    def delete(self) -> None:
        self._client.delete_registered_model(self.name)
