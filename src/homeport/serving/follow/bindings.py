"""What each reference means now: the version wanted, the version served, and why they differ if they do.

Pure tables without input or output: the follower fills them, the catalog's snapshot and the status are made from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from homeport.serving.follow.catalog import Entry, Snapshot
from homeport.serving.follow.references import Reference
from homeport.serving.follow.versions import RegisteredVersion
from homeport.serving.servable import Description

Place = tuple[Reference, str]
"""A reference and one registered model that it means."""


@dataclass(slots=True)
class Binding:
    """One registered model by one reference.

    Args:
        entry: what is served, None while nothing is.
        stale: why the registry no longer says so, empty when it does.
        note: what else is worth knowing.
    """

    entry: Entry | None = None
    stale: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """A version that is wanted and could not be loaded, or a reference that could not be resolved.

    Args:
        name: registered model.
        version: its version, empty when unknown.
        reference: the reference, as written.
        error: one sentence, with its code.
        at: seconds since the epoch.
    """

    name: str
    version: str
    reference: str
    error: str
    at: float

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self) | {"at": iso(self.at)}


def snapshot_of(
    references: Sequence[Reference], bindings: Mapping[Place, Binding], unloaded: Iterable[str]
) -> Snapshot:
    """The table for the catalog.

    The default of a registered model is what the first reference that names it means, and nothing else: a model that
    could not be loaded is not replaced by its challenger.
    """
    hidden = frozenset(unloaded)
    by_version: dict[tuple[str, str], Entry] = {}
    by_alias: dict[tuple[str, str], Entry] = {}
    default: dict[str, Entry | None] = {}
    names = {reference.name: None for reference in references if not reference.every}
    for reference in references:
        for (bound, name), binding in sorted(bindings.items(), key=lambda item: item[0][1]):
            if bound != reference:
                continue
            names.setdefault(name)
            default.setdefault(name, binding.entry)
            if binding.entry is None or name in hidden:
                continue
            by_version.setdefault((name, binding.entry.version.version), binding.entry)
            if reference.alias is not None:
                by_alias.setdefault((name, reference.alias), binding.entry)
    defaults = {name: entry for name, entry in default.items() if entry is not None and name not in hidden}
    sole = defaults.get(next(iter(names))) if len(names) == 1 else None
    return Snapshot(MappingProxyType(by_version), MappingProxyType(by_alias), MappingProxyType(defaults), sole)


def model_rows(
    references: Sequence[Reference],
    bindings: Mapping[Place, Binding],
    unloaded: Mapping[str, RegisteredVersion | None],
) -> list[dict[str, Any]]:
    """One row for each version that is served, then one for each registered model that was unloaded."""
    snapshot = snapshot_of(references, bindings, unloaded)
    rows = []
    for (name, version), entry in sorted(snapshot.by_version.items()):
        stale = [b.stale for (_, n), b in bindings.items() if n == name and b.entry is entry and b.stale]
        notes = [b.note for (_, n), b in bindings.items() if n == name and b.entry is entry and b.note]
        rows.append(
            asdict(entry.servable.description)
            | {
                "name": name,
                "version": version,
                "aliases": sorted(alias for (n, alias), e in snapshot.by_alias.items() if n == name and e is entry),
                "default": snapshot.default.get(name) is entry,
                "since": iso(entry.since),
                "state": "stale" if stale else "serving",
                "detail": "; ".join(dict.fromkeys([*stale, *notes])),
            }
        )
    for name, known in sorted(unloaded.items()):
        rows.append(
            asdict(Description(name=name, version=known.version if known else ""))
            | {"aliases": [], "default": False, "since": None, "state": "unloaded", "detail": "unloaded by hand"}
        )
    return rows


def iso(seconds: float) -> str:
    """A time as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
