"""Registered models and their versions as the registry tells of them: plain data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

READY = "READY"


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """One model version as the registry knows it.

    Args:
        name: registered model.
        version: its number, as text.
        source: where it was logged, for example ``models:/m-…``.
        run_id: the run that logged it, empty when unknown.
        model_id: the logged model, empty when unknown.
        status: ``READY``, ``PENDING_REGISTRATION`` or ``FAILED_REGISTRATION``.
    """

    name: str
    version: str
    source: str = ""
    run_id: str = ""
    model_id: str = ""
    status: str = READY

    @property
    def identity(self) -> str:
        """What tells it from another one that later got the same name and number: a hash of where it came from."""
        return hashlib.sha256("\0".join((self.source, self.model_id, self.run_id)).encode()).hexdigest()[:16]

    @property
    def key(self) -> tuple[str, str, str]:
        """(name, version, identity)."""
        return (self.name, self.version, self.identity)


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """One registered model: its aliases, and when it was made (ms), which tells it from a namesake."""

    name: str
    aliases: Mapping[str, str] = field(default_factory=dict)
    created: int = 0
