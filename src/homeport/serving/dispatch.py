"""Which loaded version answers a route: the pinned one, the alias named, the traffic rule's choice, or the default."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from homeport.serving.refusal import Refusal, not_found
from homeport.serving.routes import Route

if TYPE_CHECKING:
    from homeport.serving.follow.catalog import Catalog, Entry, Snapshot
    from homeport.serving.follow.references import Reference
    from homeport.serving.lane import Lane
    from homeport.serving.traffic import Rule


_LOOK_PAUSE = 1.0  # s between two looks for models that are asked for and not known


class Dispatch:
    """Looks models up in the catalog.

    Args:
        catalog: what is loaded.
        rules: traffic rules by model.
        references: what is to be served, in the user's order.
        poll: looks for one model in the registry now, and loads what it finds.
    """

    def __init__(
        self,
        catalog: Catalog,
        rules: Mapping[str, Rule],
        references: Sequence[Reference],
        poll: Callable[[str], Awaitable[object]],
    ) -> None:
        self._catalog = catalog
        self._rules = rules
        self._references = references
        self._poll = poll
        self._next_look = 0.0
        self._first = next((each.name for each in references if each.name != "*"), None)
        self.started = False

    def find(self, route: Route, sticky: str | None = None) -> Entry:
        """The entry that answers.

        Raises:
            Refusal: 404 when it is not served here, 503 while the first look at the registry is not done.
        """
        snapshot = self._catalog.snapshot
        name = self._only(snapshot) if route.name is None else route.name
        entry: Entry | None
        if route.version is not None:
            entry = snapshot.by_version.get((name, route.version))
        elif route.alias is not None:
            entry = snapshot.by_alias.get((name, route.alias))
        else:
            rule = self._rules.get(name)
            entry = snapshot.by_alias.get((name, rule.choose(sticky))) if rule else None
            entry = entry or snapshot.default.get(name)
        if entry is None:
            raise self._unknown("that model, version or alias is not served here")
        return entry

    async def look(self, name: str) -> bool:
        """Look for a model that is not known; False when that was not tried: not to be served, or too soon again."""
        covered = any(reference.covers(name) for reference in self._references)
        if not self.started or not covered or name in self._catalog.snapshot.default:
            return False
        if time.monotonic() < self._next_look:  # whoever asks for what does not exist must not make us ask on and on
            return False
        self._next_look = time.monotonic() + _LOOK_PAUSE
        await self._poll(name)
        return True

    def shadow(self, name: str, answered_by: Entry) -> Entry | None:
        """The version that is asked along this time, if any."""
        rule = self._rules.get(name)
        if rule is None or rule.shadow is None or not rule.shadows():
            return None
        entry = self._catalog.snapshot.by_alias.get((name, rule.shadow))
        return None if entry is answered_by else entry

    def lane(self, entry: Entry) -> Lane:
        """The entry's lane; every servable of this server is one."""
        return cast("Lane", entry.servable)

    def entries(self) -> Iterator[Entry]:
        """Every loaded version."""
        yield from self._catalog.snapshot.by_version.values()

    def _only(self, snapshot: Snapshot) -> str:
        """The model that is meant when none is named: the only one, else the first that the user named."""
        if snapshot.sole is not None:
            return snapshot.sole.version.name
        if self._first is not None and self._first in snapshot.default:
            return self._first
        raise self._unknown("name a model: several are served here" if snapshot.default else "no model is served here")

    def _unknown(self, what: str) -> Refusal:
        if not self.started:
            return Refusal(
                503, "TEMPORARILY_UNAVAILABLE", "the registry has not been read yet; try again", {"Retry-After": "1"}
            )
        served = ", ".join(sorted(f"{entry.version.name}/{entry.version.version}" for entry in self.entries()))
        return not_found(f"{what}; served: {served or 'nothing yet'}")
