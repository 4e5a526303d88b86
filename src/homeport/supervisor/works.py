"""What a unit needs from whoever runs it: the other units, time, chance, processes and probes. The engine is that."""

from __future__ import annotations

from typing import Protocol

from homeport.model.service import Service
from homeport.supervisor.failures import Witness
from homeport.supervisor.probes import Answer
from homeport.supervisor.process import Process
from homeport.supervisor.unit import Unit


class Works(Protocol):
    """What a unit needs from the engine."""

    def unit(self, name: str) -> Unit:
        """The unit of a node."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def chance(self) -> float:
        """From 0 to 1."""

    def changed(self, unit: Unit) -> None:
        """A unit is in another state."""

    def witness(self, unit: Unit) -> Witness:
        """What is known of a unit from outside."""

    async def start(self, unit: Unit) -> Process:
        """Start a unit's process."""

    async def ask(self, service: Service) -> Answer:
        """Ask a service whether it is healthy."""
