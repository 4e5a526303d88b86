"""Model versions on this machine's disk: each is downloaded once for all workers, whole or not at all, within a limit.

    models/NAME/VERSION-IDENTITY/{manifest.json, model/}   a version; in use while a worker holds its .use lock
    locks/NAME/VERSION-IDENTITY.{lock,use}                 who changes it; who has it loaded
    incoming/*/                                            downloads under way, each with its .lock

Files found damaged at load are thrown away and fetched again. It refuses to know what a model is.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from homeport.errors import HomeportError
from homeport.serving.follow import locks
from homeport.serving.follow.errors import FULL
from homeport.serving.follow.last_good import LastGood
from homeport.serving.follow.manifest import Manifest, sync_directory
from homeport.serving.follow.versions import RegisteredVersion

Fetch = Callable[[RegisteredVersion, Path, Callable[[int], None]], None]
"""Puts a version's files into a directory; calls the third argument with the bytes needed before it writes any."""

_LONGEST = 150  # bytes of a quoted name; file systems allow 255 for name and ending together
_MIB = 2**20


@dataclass
class Lease:
    """A version's files, safe from removal until released.

    Args:
        path: directory with the MLmodel file.
    """

    path: Path
    _handle: int | None = field(repr=False)

    def release(self) -> None:
        """They may be removed now, when room is needed; harmless when called twice."""
        handle, self._handle = self._handle, None
        if handle is not None:
            locks.give_back(handle)


class Cache:
    """The downloaded versions. Any thread of any process may ask.

    Args:
        directory: where they are kept; made if missing.
        limit_bytes: the most they may take together.
        fetch: how a version's files are had.
    """

    def __init__(self, directory: Path, limit_bytes: int, fetch: Fetch) -> None:
        self._models, self._locks, self._incoming = (directory / part for part in ("models", "locks", "incoming"))
        self._limit = limit_bytes
        self._fetch = fetch
        for place in (self._models, self._locks, self._incoming):
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._room = directory / "room.lock"
        self.last_good = LastGood(directory)
        self._clean()

    def lease(self, version: RegisteredVersion, *, fetch: bool = True) -> Lease:
        """The version's files, whole and undamaged; downloaded if need be, unless `fetch` is off.

        Raises:
            HomeportError: MODEL_NOT_CACHED, MODEL_NOT_DOWNLOADED, CACHE_FULL.
        """
        place = Path(_quoted(version.name)) / f"{_quoted(version.version)}-{version.identity}"
        lock = self._locks / place.parent / f"{place.name}.lock"
        lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _disk(version), locks.locked(lock, shared=True):
            if not self._damage(place):
                return self._use(place)
        if not fetch:
            raise _not_cached(version, self._damage(place))
        with _disk(version), locks.locked(lock):
            if self._damage(place):  # else another worker fetched it while this one waited
                self._discard(place)
                self._download(version, place)
            return self._use(place)

    def path_of(self, version: RegisteredVersion) -> Path:
        """Where the version's files are, or will be once it is leased."""
        return self._models / _quoted(version.name) / f"{_quoted(version.version)}-{version.identity}" / "model"

    @property
    def size(self) -> int:
        """Bytes of all versions that are here."""
        return sum(self._size(place) for place in self._places())

    def _damage(self, place: Path) -> str:
        manifest = Manifest.read(self._models / place / "manifest.json")
        if manifest is None:
            return "it is not there" if not (self._models / place).exists() else "its manifest cannot be read"
        return manifest.damage(self._models / place / "model")

    def _use(self, place: Path) -> Lease:
        handle = locks.taken(self._locks / place.parent / f"{place.name}.use", shared=True)
        os.utime(self._models / place)  # used now: the least recently used goes first
        return Lease(self._models / place / "model", handle)

    def _download(self, version: RegisteredVersion, place: Path) -> None:
        half = self._incoming / uuid.uuid4().hex
        owner = locks.taken(half.with_suffix(".lock"))
        assert owner is not None
        try:
            (half / "model").mkdir(parents=True, mode=0o700)
            self._fetch(version, half / "model", lambda needed: self._make_room(version, half, needed))
            try:
                manifest = Manifest.of(half / "model")
            except ValueError as error:
                raise HomeportError(
                    code="MODEL_NOT_DOWNLOADED",
                    what=f"the files of {version.name}/{version.version} are not what a model may hold: {error}",
                    fix="log the model again with plain files only",
                ) from error
            manifest.write(half / "manifest.json")
            sync_directory(half)
            target = self._models / place
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            half.rename(target)
            sync_directory(target.parent)
        finally:
            shutil.rmtree(half, ignore_errors=True)
            half.with_suffix(".needed").unlink(missing_ok=True)
            _remove_lock(half.with_suffix(".lock"), owner)

    def _make_room(self, version: RegisteredVersion, half: Path, needed: int) -> None:
        with locks.locked(self._room):
            # What others are fetching at this moment counts as if it were here already.
            coming = sum(_number(file) for file in self._incoming.glob("*.needed"))
            for place in sorted(self._places(), key=self._used_at):
                if self._fits(needed, coming):
                    break
                self._remove_unused(place)
            if not self._fits(needed, coming):
                raise _full(version, needed, self._limit - coming - self.size, self._free())
            half.with_suffix(".needed").write_text(str(needed), encoding="utf-8")

    def _fits(self, needed: int, coming: int) -> bool:
        return self.size + coming + needed <= self._limit and needed <= self._free()

    def _free(self) -> int:
        found = os.statvfs(self._incoming)
        return found.f_bavail * found.f_frsize

    def _remove_unused(self, place: Path) -> None:
        """Remove a version that no worker has loaded and nobody is about to."""
        base = self._locks / place.parent
        changing = locks.taken(base / f"{place.name}.lock", wait=False)
        if changing is None:
            return
        using = locks.taken(base / f"{place.name}.use", wait=False)
        if using is not None:
            self._discard(place)
            _remove_lock(base / f"{place.name}.use", using)
            _remove_lock(base / f"{place.name}.lock", changing)
            return
        locks.give_back(changing)

    def _discard(self, place: Path) -> None:
        """Make it vanish at once; who has its files open keeps them."""
        if (self._models / place).exists():
            gone = self._incoming / uuid.uuid4().hex
            (self._models / place).rename(gone)
            shutil.rmtree(gone, ignore_errors=True)

    def _clean(self) -> None:
        """Remove what processes left that were killed while they downloaded."""
        for half in {path.with_suffix("") for path in self._incoming.iterdir()}:
            owner = locks.taken(half.with_suffix(".lock"), wait=False)
            if owner is not None:
                shutil.rmtree(half, ignore_errors=True)
                half.with_suffix(".needed").unlink(missing_ok=True)
                _remove_lock(half.with_suffix(".lock"), owner)

    def _places(self) -> Iterator[Path]:
        for path in self._models.glob("*/*/"):
            yield path.relative_to(self._models)

    def _size(self, place: Path) -> int:
        manifest = Manifest.read(self._models / place / "manifest.json")
        if manifest:
            return manifest.size
        return sum(file.lstat().st_size for file in (self._models / place).rglob("*") if file.is_file())

    def _used_at(self, place: Path) -> float:
        try:
            return (self._models / place).stat().st_mtime
        except FileNotFoundError:
            return 0.0


def _quoted(name: str) -> str:
    """A file name for any registered model: no separator, not `.` or `..`, not too long, no two the same."""
    text = quote(name, safe="").replace("~", "%7E")
    text = text.replace(".", "%2E", 1) if text.startswith(".") else text
    text = text.replace("%", "~")  # MLflow reads a path as a URI, and would take what follows a % for a character
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST - 65]}={hashlib.sha256(name.encode()).hexdigest()}"
    return text


def _remove_lock(path: Path, handle: int) -> None:
    path.unlink(missing_ok=True)  # still held: whoever waits for it sees that the file is another one
    locks.give_back(handle)


def _number(file: Path) -> int:
    try:
        return int(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0


@contextlib.contextmanager
def _disk(version: RegisteredVersion) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HomeportError(
            code="CACHE_FULL" if error.errno in FULL else "MODEL_NOT_DOWNLOADED",
            what=f"{version.name}/{version.version} could not be kept on disk: {error.strerror or error}",
            why="the disk of the model cache is full or may not be written",
            fix="make room on the disk that HOMEPORT_SERVING_CACHE is on; it is tried again by itself",
        ) from error


def _full(version: RegisteredVersion, needed: int, within: int, free: int) -> HomeportError:
    what = "the disk" if free < within else "the limit"
    found = max(0, min(within, free))
    return HomeportError(
        code="CACHE_FULL",
        what=f"there is no room for {version.name}/{version.version} in the model cache: {_mib(needed)} needed, "
        f"{_mib(found)} left by {what}",
        evidence=(("needed", _mib(needed)), ("found", _mib(found))),
        why="versions in use are not removed",
        fix="serve fewer models, raise HOMEPORT_SERVING_CACHE_MIB, or make room on the disk",
    )


def _not_cached(version: RegisteredVersion, why: str) -> HomeportError:
    return HomeportError(
        code="MODEL_NOT_CACHED",
        what=f"{version.name}/{version.version} cannot be served from the cache: {why}",
        why="it was never downloaded here, or its files were damaged, and the registry does not answer",
        fix="it is downloaded as soon as the registry is back",
    )


def _mib(size: int) -> str:
    return f"{size / _MIB:,.1f} MiB"
