"""Which registered models are served, as a site writes it: ``wine-quality@champion, penguins/3, *@champion``.

Light, because the settings read it too. It refuses to know what the registry holds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

EVERY = "*"
_FORM = "must be NAME@ALIAS, NAME/VERSION or *@ALIAS, several separated by commas"
_ALIAS = re.compile(r"[\w-]+")  # mlflow 3.17.2, mlflow/utils/validation.py
_VERSION = re.compile(r"[1-9][0-9]*")
_VERSION_ALIAS = re.compile(r"[vV][0-9]+")


@dataclass(frozen=True, slots=True)
class Reference:
    """A registered model by alias or by version; exactly one of both is set.

    Args:
        name: the registered model, or ``*`` for every one that has the alias.
        alias: the alias that is followed.
        version: the version that is pinned.
    """

    name: str
    alias: str | None
    version: str | None

    def __str__(self) -> str:
        """As it is written in HOMEPORT_SERVE."""
        return f"{self.name}@{self.alias}" if self.alias is not None else f"{self.name}/{self.version}"

    @property
    def every(self) -> bool:
        """Whether it means all models that have the alias."""
        return self.name == EVERY

    def covers(self, name: str) -> bool:
        """Whether it can mean this registered model."""
        return self.every or self.name == name


def parse(text: str) -> tuple[Reference, ...]:
    """References in the order written, each once; an empty text is none.

    Raises:
        ValueError: with a sentence that begins with "must be" and the entry that is not one.
    """
    return tuple(dict.fromkeys(_one(entry) for entry in re.split(r"[,\s]+", text) if entry))


def _one(entry: str) -> Reference:
    # A name may hold one of the signs' look-alikes, but neither sign: the first one found decides.
    name, sign, rest = _split(entry)
    if not name or not rest:
        raise ValueError(f"{_FORM}; {entry!r} is none of them")
    if sign == "/":
        if not _VERSION.fullmatch(rest):
            raise ValueError(f"{_FORM}; the version in {entry!r} must be a number from 1")
        if name == EVERY:
            raise ValueError(f"{_FORM}; {entry!r} would be one version of every model")
        return Reference(name, None, rest)
    if not _ALIAS.fullmatch(rest) or _VERSION_ALIAS.fullmatch(rest):
        raise ValueError(f"{_FORM}; the alias in {entry!r} is not one that MLflow allows")
    if name == EVERY and rest.lower() == "latest":
        raise ValueError(
            f"{_FORM}; {entry!r} would need every version of every model: name the models, for example NAME@latest"
        )
    return Reference(name, rest, None)


def _split(entry: str) -> tuple[str, str, str]:
    if ":" in entry:
        return "", "", ""  # models:/NAME is a URI, and no name has a colon
    at = min((place for place in (entry.find("@"), entry.find("/")) if place >= 0), default=len(entry))
    return entry[:at], entry[at : at + 1], entry[at + 1 :]
