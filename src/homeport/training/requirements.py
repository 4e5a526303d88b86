"""What a logged model needs to run, pinned to what it was trained with.

MLflow would find out by loading the model in a second process, which takes longer than the training itself.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def pins(*distributions: str) -> list[str]:
    """Exact requirements for MLflow and these distributions, at the versions that are installed."""
    return [f"{name}=={version(name)}" for name in ("mlflow", *distributions)]


def xgboost_pins() -> list[str]:
    """Exact requirements for XGBoost; the build without GPU libraries has another name and exists for Linux only."""
    try:
        installed = version("xgboost-cpu")
    except PackageNotFoundError:
        return [f"xgboost=={version('xgboost')}"]
    return [f"xgboost-cpu=={installed}; sys_platform == 'linux'", f"xgboost=={installed}; sys_platform != 'linux'"]
