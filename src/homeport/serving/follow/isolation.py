"""Which models run in a process of their own, and with which Python.

A model that brings code puts it on the import path, where a second version of it would find the first one's modules
(mlflow 3.17.2, mlflow/pyfunc/__init__.py: `load_model` prepends to sys.path and never takes it back).
"""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from homeport.serving.follow.isolated import Isolated
from homeport.serving.follow.versions import RegisteredVersion
from homeport.serving.servable import Servable

_NOT_ITS_OWN = frozenset({"mlflow", "mlflow-skinny", "mlflow-tracing", "homeport"})
"""MLflow loads models of earlier major versions; what else it needs is a question of its own tests."""


def load(path: Path, version: RegisteredVersion, *, environments: Path | None = None, threads: int = 4) -> Servable:
    """Load a model version, in this process or in one of its own.

    Args:
        path: directory with the MLmodel file.
        version: what the registry calls it.
        environments: directory of Python environments (HOMEPORT_SERVING_ENVS): `NAME/VERSION/bin/python`, else
            `NAME/bin/python`, runs that model. Each needs Homeport installed. Without one, an isolated model runs with
            the same packages as the server.
        threads: predictions at a time in a process of its own.

    Raises:
        HomeportError: MODEL_NOT_LOADED.
    """
    python = interpreter(environments, version)
    reason = "this site has a Python environment for it" if python else needs_isolation(path)
    if reason is None:
        from homeport.serving.scoring.local import Local

        return Local.load(
            path, name=version.name, version=version.version, run_id=version.run_id, model_id=version.model_id
        )
    return _Explained(
        path,
        version,
        python=python or sys.executable,
        threads=threads,
        warning=f"runs in a process of its own: {reason}",
    )


def interpreter(environments: Path | None, version: RegisteredVersion) -> str | None:
    """The site's Python for this model, if there is one."""
    if environments is None or "/" in unquote(version.name) or version.name in {".", ".."}:
        return None
    places = (environments / version.name / version.version, environments / version.name)
    return next((str(place / "bin/python") for place in places if (place / "bin/python").is_file()), None)


def needs_isolation(path: Path) -> str | None:
    """Why a model must not share this process, in half a sentence; None when it may."""
    code = _python_function(path).get("code")
    if code:
        return "it brings code of its own"
    clashes = list(_clashes(path))
    return f"it was made with {', '.join(clashes)}" if clashes else None


class _Explained(Isolated):
    """An isolated model that says why it is."""

    def __init__(self, path: Path, version: RegisteredVersion, *, python: str, threads: int, warning: str) -> None:
        super().__init__(path, version, python=python, threads=threads)
        self._description = replace(self._description, warnings=(*self._description.warnings, warning))


def _python_function(path: Path) -> dict[str, Any]:
    import yaml

    try:
        with (path / "MLmodel").open("rb") as stream:
            content = yaml.safe_load(stream)
    except (OSError, yaml.YAMLError):
        return {}  # loading it says better what is wrong
    flavors = content.get("flavors") if isinstance(content, dict) else None
    flavor = flavors.get("python_function") if isinstance(flavors, dict) else None
    return flavor if isinstance(flavor, dict) else {}


def _clashes(path: Path) -> list[str]:
    """Pinned libraries of which another major version is installed here; a missing one the loading will tell."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.version import InvalidVersion, Version

    try:
        lines = (path / "requirements.txt").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    found = []
    for line in lines:
        try:
            wanted = Requirement(line.partition("#")[0].strip())
            pinned = next((s.version for s in wanted.specifier if s.operator in {"==", "==="}), None)
            here = Version(distribution(wanted.name).version)
            if pinned is None or wanted.name.lower() in _NOT_ITS_OWN:
                continue
            if Version(pinned.removesuffix(".*")).major != here.major:
                found.append(f"{wanted.name} {pinned}, here is {here}")
        except (InvalidRequirement, InvalidVersion, PackageNotFoundError):
            continue  # a comment, an option, a path: nothing that can be compared
    return found
