"""Homeport: a complete, self-hosted MLflow platform started with one command.

with homeport.Platform(home="/srv/mlflow") as platform:
    mlflow.set_tracking_uri(platform.tracking_uri)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homeport.errors import HomeportError
    from homeport.platform import Platform
    from homeport.settings import Settings

__version__ = "0.1.0.dev0"
__all__ = ["HomeportError", "Platform", "Settings", "__version__"]

_HOMES = {"HomeportError": "errors", "Platform": "platform", "Settings": "settings"}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the attribute's own type stands under TYPE_CHECKING
    """Import a public name when it is first used: programs of ours import this package for less."""
    if name not in _HOMES:
        raise AttributeError(f"module 'homeport' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"homeport.{_HOMES[name]}"), name)
