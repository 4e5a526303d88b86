"""A model version's files, through the tracking server: no credentials of a store are needed here.

By another way only out of the one directory that a site shares (HOMEPORT_SHARED_ARTIFACTS). It refuses to know where
they are kept afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from homeport.errors import HomeportError
from homeport.serving.follow.errors import FULL, NotInRegistry, RegistryAway, RegistryRefused
from homeport.serving.follow.registry import Registry
from homeport.serving.follow.versions import RegisteredVersion

CLIENT_ENVIRON = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    # requests lets ~/.netrc replace the credentials that MLflow's client sends.
    "NETRC": os.devnull,
}
"""MLflow's own switches, for its environment. Its seven tries take minutes; the follower tries again by itself."""

Room = Callable[[int], None]


class Download:
    """Fetches versions of one registry.

    Args:
        registry: where the files of a version are asked for.
        shared: a directory that may be read as well; None: none.
    """

    def __init__(self, registry: Registry, shared: Path | None = None) -> None:
        self._registry = registry
        self._shared = shared.resolve() if shared else None

    def __call__(self, version: RegisteredVersion, into: Path, room: Room) -> None:
        """Put the version's files into an empty directory, after asking `room` for as many bytes.

        Raises:
            HomeportError: MODEL_NOT_DOWNLOADED; whatever `room` raises.
            OSError: the disk is full.
        """
        uri = self._where(version)
        for name, value in CLIENT_ENVIRON.items():
            os.environ.setdefault(name, value)
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        try:
            repository = get_artifact_repository(uri, tracking_uri=self._registry.uri)
            size = _size(repository)
            room(size)
            repository.download_artifacts("", dst_path=str(into))
        except HomeportError:
            raise
        except Exception as error:
            raise_if_full(error)
            said = _last_line(error).replace(self._registry.uri, self._registry.shown)  # it may hold a password
            raise not_downloaded(version, f"{type(error).__name__}: {said}") from error
        if not (into / "MLmodel").is_file():
            raise not_downloaded(version, "there is no MLmodel file at its source")
        found = sum(path.lstat().st_size for path in into.rglob("*") if not path.is_dir())
        if found != size:
            raise not_downloaded(version, f"{found:,} bytes arrived and {size:,} were announced")

    def _where(self, version: RegisteredVersion) -> str:
        try:
            now = self._registry.by_version(version.name, version.version)
            uri = self._registry.artifacts_of(version)
        except (RegistryAway, NotInRegistry, RegistryRefused) as error:
            raise not_downloaded(version, str(error)) from error
        if now.identity != version.identity:
            raise not_downloaded(version, "it was replaced by another model of the same name and number meanwhile")
        parts = urlsplit(uri)
        ours = urlsplit(self._registry.uri).netloc.rpartition("@")[2]
        if self._is_shared(parts):
            return uri
        if parts.scheme != "mlflow-artifacts" or parts.netloc.rpartition("@")[2] not in {"", ours}:
            # A file of this machine or another server would be read with our rights.
            raise not_downloaded(
                version,
                f"its files are not served by the tracking server (needed: mlflow-artifacts:/, found: {parts.scheme}:)",
            )
        return uri

    def _is_shared(self, parts: SplitResult) -> bool:
        if self._shared is None or parts.scheme not in {"", "file"} or parts.netloc:
            return False
        # Links are followed first: a registry's word must not lead out of the directory.
        return Path(unquote(parts.path) if parts.scheme else parts.path).resolve().is_relative_to(self._shared)


def not_downloaded(version: RegisteredVersion, why: str) -> HomeportError:
    """The refusal of a version whose files could not be had."""
    return HomeportError(
        code="MODEL_NOT_DOWNLOADED",
        what=f"the files of {version.name}/{version.version} could not be downloaded: {why}",
        fix="homeport status says whether the tracking server runs; it is tried again by itself",
    )


def raise_if_full(error: BaseException) -> None:
    """Raise the OSError of a full disk if that is what lies behind an error of MLflow's."""
    # Its downloads run in a pool of threads; what is left of their errors is the text.
    for number in FULL:
        if f"[Errno {number}]" in str(error) or (isinstance(error, OSError) and error.errno == number):
            raise OSError(number, os.strerror(number)) from error


def _size(repository: object) -> int:
    total, pending, seen = 0, [""], 0
    while pending:
        for item in repository.list_artifacts(pending.pop()):  # type: ignore[attr-defined]  # mlflow is untyped here
            seen += 1
            if item.is_dir:
                pending.append(item.path)
            else:
                total += item.file_size or 0
    return total


def _last_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [""]
    return lines[-1][:300]
