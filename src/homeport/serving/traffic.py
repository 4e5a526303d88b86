"""Traffic rules: which version of a model answers which request, and which one is only asked along.

A rule is text: `wine-quality: champion 90, challenger 10` (canary) or `wine-quality: champion 100, shadow challenger`.
Several are separated by `;`. Light, because the settings import it; refuses to know what is loaded.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from types import MappingProxyType

STICKY_HEADER = "x-homeport-sticky"
_ALIAS = r"[^\s,;:@/]+"
_WEIGHT = re.compile(rf"({_ALIAS})\s+(\d{{1,3}})\s*%?")
_SHADOW = re.compile(rf"shadow\s+({_ALIAS})(?:\s+(\d{{1,3}})\s*%?)?")
_WHOLE = 100


@dataclass(frozen=True)
class Rule:
    """How one registered model's unpinned requests are shared out.

    Args:
        name: registered model.
        weights: alias -> percent of the answers; they add up to 100.
        shadow: the alias that is asked along, its answer compared and not sent; None without one.
        shadow_percent: of how many requests.
    """

    name: str
    weights: Mapping[str, int]
    shadow: str | None = None
    shadow_percent: int = _WHOLE

    @property
    def aliases(self) -> tuple[str, ...]:
        """Every alias that must be loaded for it."""
        return (*self.weights, *([self.shadow] if self.shadow else []))

    def choose(self, sticky: str | None) -> str:
        """The alias that answers: by chance, or always the same one for the same sticky text."""
        return self._at(_point(self.name, sticky))

    def shadows(self) -> bool:
        """Whether the shadow is asked along this time."""
        return self.shadow is not None and random.random() * _WHOLE < self.shadow_percent  # noqa: S311 - sampling

    def _at(self, point: float) -> str:
        reached = 0
        for alias, weight in self.weights.items():
            reached += weight
            if point < reached:
                return alias
        return next(iter(self.weights))


def _point(name: str, sticky: str | None) -> float:
    """A number from 0 to below 100."""
    if not sticky:
        return random.random() * _WHOLE  # noqa: S311 - sampling
    digest = blake2b(f"{name}\0{sticky}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64 * _WHOLE


def parse(text: str) -> Mapping[str, Rule]:
    """The rules in a text, by model.

    Raises:
        ValueError: "must …", when it cannot be read.
    """
    rules: dict[str, Rule] = {}
    for part in re.split(r"[;\n]", text):
        if not part.strip():
            continue
        name, colon, shares = part.partition(":")
        name = name.strip()
        if not colon or not name:
            raise ValueError("must be like `wine-quality: champion 90, challenger 10`; rules are separated by ;")
        if name in rules:
            raise ValueError(f"must have one rule a model; {name} has two")
        rules[name] = _rule(name, shares)
    return MappingProxyType(rules)


def _rule(name: str, shares: str) -> Rule:
    weights: dict[str, int] = {}
    shadow: str | None = None
    percent = _WHOLE
    for share in (each.strip() for each in shares.split(",")):
        if found := _SHADOW.fullmatch(share):
            if shadow is not None:
                raise ValueError(f"must name one shadow for {name}")
            shadow, percent = found[1], int(found[2] or _WHOLE)
        elif found := _WEIGHT.fullmatch(share):
            if found[1] in weights:
                raise ValueError(f"must name {found[1]} once for {name}")
            weights[found[1]] = int(found[2])
        else:
            raise ValueError(f"must give {name} shares like `champion 90` or `shadow challenger`, separated by commas")
    if sum(weights.values()) != _WHOLE:
        raise ValueError(f"must give {name} shares that add up to 100, found {sum(weights.values())}")
    if not 0 < percent <= _WHOLE:
        raise ValueError(f"must give the shadow of {name} from 1 to 100 percent")
    if shadow in weights:
        raise ValueError(f"must not name {shadow} both as a share and as the shadow of {name}")
    return Rule(name, MappingProxyType(weights), shadow, percent)
