"""Follows the registry in a thread of its own and keeps the catalog as the registry says, as far as that can be had.

What is served goes on being served whatever happens here: the registry away, an alias or a model deleted, a version
that does not load. Only `unload`, another version, or the end of the process takes a version away.

A model that `*@alias` meant and that lost the alias stays, marked stale, until it is unloaded or the server is started
again while the registry answers; a model that is named stays across a start as well.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from homeport.serving.follow import polls
from homeport.serving.follow.bindings import Binding, Failure, Place, model_rows, snapshot_of
from homeport.serving.follow.cache import Cache
from homeport.serving.follow.catalog import Catalog, Snapshot
from homeport.serving.follow.errors import RegistryAway, RegistryRefused
from homeport.serving.follow.loading import Load, Loader, NotLoaded, Observer
from homeport.serving.follow.polls import PollResult, Polls
from homeport.serving.follow.reachability import Reachability
from homeport.serving.follow.references import EVERY, Reference
from homeport.serving.follow.registry import Registry
from homeport.serving.follow.resolve import Resolver
from homeport.serving.follow.versions import READY, RegisteredVersion

_log = logging.getLogger(__name__)
_AWAY = "the registry has not answered since the start: this is the version served last"


class Follower:
    """One worker's follower.

    Args:
        references: what is to be served; the first that names a model chooses its default version.
        registry: who is asked.
        cache: where versions lie on disk.
        catalog: what is kept up to date.
        load: makes a servable of a version's files, warmed up; may take long and may raise anything.
        interval: seconds between two looks; each is up to 30 % shorter or longer, so that workers do not fall in step.
        on_loop: runs a function on the event loop that the catalog belongs to.
        observe: who counts.
    """

    def __init__(
        self,
        references: Sequence[Reference],
        registry: Registry,
        cache: Cache,
        catalog: Catalog,
        load: Load,
        *,
        interval: float,
        on_loop: Callable[[Callable[[], None]], object],
        observe: Observer,
    ) -> None:
        self._references = tuple(references)
        self._registry, self._cache, self._catalog = registry, cache, catalog
        self._loader = Loader(cache, load, interval, observe)
        self._interval, self._on_loop, self._observe = interval, on_loop, observe
        self.first = threading.Event()
        self._polls = Polls()
        self._thread = threading.Thread(target=self._run, name="follow registry", daemon=True)
        self._bindings: dict[Place, Binding] = {(r, r.name): Binding() for r in references if not r.every}
        self._failures: dict[Place, Failure] = {}
        self._seen: dict[tuple[str, str, int], RegisteredVersion] = {}
        self._unloaded: frozenset[str] = frozenset()
        self._remembered: dict[str, list[RegisteredVersion]] = {}
        self._published = Snapshot()
        self._reachability = Reachability(registry.shown)
        self._status: dict[str, Any] = {}
        self._tell()

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """End; whether the thread ended in time (a model that is being loaded is not interrupted)."""
        self._polls.stop()
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def poll_now(self, names: set[str] | None = None, timeout: float = 60.0) -> PollResult:
        """Look now, at these registered models or at all; versions that failed before are tried at once. Blocking."""
        return self._polls.ask(None if names is None else frozenset(names), timeout)

    def unload(self, name: str, timeout: float = 60.0) -> PollResult:
        """Serve this registered model no longer, in any worker and after a restart, until `load`. Blocking."""
        return self._switch(name, True, timeout)

    def load(self, name: str, timeout: float = 60.0) -> PollResult:
        """Serve this registered model again, and look for it now. Blocking."""
        return self._switch(name, False, timeout)

    def status(self) -> dict[str, Any]:
        """`{"registry": {…}, "models": […], "failures": […]}`, JSON-able; any thread may ask, nobody may change it."""
        return self._status

    def _switch(self, name: str, unloaded: bool, timeout: float) -> PollResult:
        if not any(reference.covers(name) for reference in self._references):
            return polls.failed(name, f"{name} is not among the models that this server is to serve")
        try:
            self._cache.last_good.set_unloaded(name, unloaded)
        except OSError as error:
            return polls.failed(name, f"it could not be written down: {error.strerror}")
        return self.poll_now({name}, timeout)

    def _run(self) -> None:
        due = 0.0
        requests = self._polls.wait(due)
        while not self._polls.stopped:
            now = time.monotonic()
            names = polls.names_of(requests) if requests and now < due else None
            result = None
            try:
                result = self._look(names, forced=bool(requests))
            except Exception:  # whatever it is: the next look may do better, and what is served stays
                _log.exception("a look at the registry ended by an error that was not foreseen")
            if names is None:
                due = time.monotonic() + self._reachability.pause(self._interval)
            self.first.set()
            polls.answer(requests, result)
            requests = self._polls.wait(due)

    def _look(self, names: frozenset[str] | None, *, forced: bool) -> PollResult:
        look = _Look(forced)
        self._loader.new_look()
        self._obey_unloads(look)
        resolver = Resolver(self._registry, self._seen)
        error: RegistryAway | RegistryRefused | None = None
        for reference in self._references:
            if names is not None and not any(reference.covers(name) for name in names):
                continue
            if error is None:
                try:
                    self._follow(reference, resolver, look)
                    continue
                except (RegistryAway, RegistryRefused) as raised:
                    error = raised
            for name, version in self._cache.last_good.versions(str(reference)).items():
                self._fall_back((reference, name), version, look, note=_AWAY, fetch=False)
        if error is not None:
            self._reachability.failed(error)
        self._observe.registry(self._reachability.reachable)
        self._remember()
        self._tell()
        failures = [f.as_dict() for f in look.failures]
        if error is not None:
            failures.append({"name": "", "version": "", "reference": "", "error": str(error)})
        for row in failures:
            row.pop("at", None)
        registry = {key: self._reachability.row[key] for key in ("reachable", "error")}
        return PollResult(not failures, look.changes, failures, registry)

    def _follow(self, reference: Reference, resolver: Resolver, look: _Look) -> None:
        bound = frozenset(name for (r, name) in self._bindings if r == reference)
        resolution = resolver.resolve(reference, bound)
        self._reachability.answered()  # not only when all is loaded, which may take long
        for name, version in resolution.versions.items():
            self._want((reference, name), version, look)
        for name, problem in resolution.problems.items():
            self._lost((reference, name), problem, look)
        if EVERY not in resolution.problems:
            self._failures.pop((reference, EVERY), None)

    def _want(self, place: Place, version: RegisteredVersion, look: _Look) -> None:
        binding = self._bindings.setdefault(place, Binding())
        if version.name in self._unloaded:
            self._failures.pop(place, None)
            return
        binding.stale = ""
        if binding.entry is not None and binding.entry.version.key == version.key:
            binding.note = ""
            self._failures.pop(place, None)
            return
        if version.status != READY:
            binding.note = f"version {version.version} is not ready in the registry: {version.status}"
            self._failed(place, version.version, binding.note, look)
        elif self._bind(place, version, look, fetch=True):
            return
        else:
            binding.note = f"version {version.version} could not be loaded"
        if binding.entry is None:
            known = self._cache.last_good.versions(str(place[0])).get(place[1])
            if known is not None and known.key != version.key:
                self._fall_back(place, known, look, note=f"{binding.note}; this one was served last", fetch=True)

    def _lost(self, place: Place, problem: str, look: _Look) -> None:
        """The registry answers, and has no such thing: keep what is served."""
        reference, name = place
        binding = self._bindings.setdefault(place, Binding()) if name != EVERY else Binding()
        if name in self._unloaded:
            return
        known = None if reference.every else self._cache.last_good.versions(str(reference)).get(name)
        if binding.entry is None and known is not None:
            self._fall_back(place, known, look, note="", fetch=False)
        if binding.entry is not None:
            # No failure: somebody retired it on purpose, or will say so. Status and page tell.
            binding.stale = f"{problem}; served as it was"
            self._failures.pop(place, None)
            return
        if reference.every and name != EVERY:
            self._bindings.pop(place)  # it was never served, and nobody asks for it any more
            self._failures.pop(place, None)
            return
        self._failed(place, "", problem, look)

    def _fall_back(self, place: Place, version: RegisteredVersion, look: _Look, *, note: str, fetch: bool) -> None:
        """Serve what was served last, if nothing is."""
        binding = self._bindings.setdefault(place, Binding())
        if binding.entry is None and version.name not in self._unloaded:
            failure = self._failures.get(place)
            if self._bind(place, version, look, fetch=fetch):
                binding.note = note
            if failure is not None:
                self._failures[place] = failure  # it is about the version that is wanted

    def _bind(self, place: Place, version: RegisteredVersion, look: _Look, *, fetch: bool) -> bool:
        """Load the version unless it is loaded, and let it serve here; whether that worked."""
        begun = time.monotonic()
        loaded = (b.entry for b in self._bindings.values() if b.entry and b.entry.version.key == version.key)
        try:
            entry = next(loaded, None) or self._loader.entry(version, fetch=fetch, forced=look.forced)
        except NotLoaded as error:
            self._failed(place, version.version, str(error), look)
            return False
        binding = self._bindings[place]
        before = binding.entry.version.version if binding.entry else ""
        binding.entry, binding.note = entry, ""
        self._failures.pop(place, None)
        self._publish()
        look.changes.append(_change(place, before, version.version))
        self._observe.reloaded(version.name, version.version, time.monotonic() - begun)
        _log.info("%s serves %s/%s, before: %s", place[0], version.name, version.version, before or "nothing")
        return True

    def _failed(self, place: Place, version: str, error: str, look: _Look) -> None:
        known = self._failures.get(place)
        failure = Failure(place[1], version, str(place[0]), error, time.time())
        if known is not None and (known.version, known.error) == (version, error):
            failure = known  # since when it has been so
        look.failures.append(failure)
        self._failures[place] = failure

    def _obey_unloads(self, look: _Look) -> None:
        """Another worker may have been told: the file is the truth."""
        self._unloaded = self._cache.last_good.unloaded()
        for place, binding in self._bindings.items():
            if place[1] in self._unloaded and binding.entry is not None:
                look.changes.append(_change(place, binding.entry.version.version, ""))
                binding.entry, binding.stale, binding.note = None, "", ""
        self._publish()

    def _publish(self) -> None:
        snapshot = snapshot_of(self._references, self._bindings, self._unloaded)
        if snapshot != self._published:
            self._published = snapshot
            self._tell()
            try:
                self._on_loop(lambda: self._catalog.replace(snapshot))
            except RuntimeError:  # the loop is closed: nobody asks any more
                _log.debug("the event loop ended before %s", snapshot)

    def _remember(self) -> None:
        served: dict[str, list[RegisteredVersion]] = {}
        for reference in self._references:
            known = self._cache.last_good.versions(str(reference))
            versions = [
                binding.entry.version if binding.entry else known.get(name)
                for (r, name), binding in self._bindings.items()
                if r == reference
            ]
            served[str(reference)] = [version for version in versions if version is not None]
        if served != self._remembered:
            try:
                self._cache.last_good.remember(served)
                self._remembered = served
            except OSError as error:
                _log.warning("what is served now could not be written down: %s", error.strerror)

    def _tell(self) -> None:
        unloaded: dict[str, RegisteredVersion | None] = {}
        for reference, name in self._bindings:
            if name in self._unloaded and unloaded.get(name) is None:
                unloaded[name] = self._cache.last_good.versions(str(reference)).get(name)
        self._status = {
            "registry": self._reachability.row,
            "models": model_rows(self._references, self._bindings, unloaded),
            "failures": [failure.as_dict() for failure in self._failures.values()],
        }


class _Look:
    """What one look did."""

    def __init__(self, forced: bool) -> None:
        self.forced = forced
        self.changes: list[dict[str, str]] = []
        self.failures: list[Failure] = []


def _change(place: Place, before: str, after: str) -> dict[str, str]:
    return {"name": place[1], "reference": str(place[0]), "from": before, "to": after}
