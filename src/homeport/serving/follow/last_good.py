"""What was served last, on disk: a server that starts while the registry is away goes on with it.

Also which models were unloaded by hand. All workers write the same file, one after the other.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from homeport.serving.follow import locks
from homeport.serving.follow.versions import RegisteredVersion

_FIELDS = tuple(f.name for f in fields(RegisteredVersion) if f.name != "status")


class LastGood:
    """The file `last_good.json` of one cache directory.

    Args:
        directory: where it is.
    """

    def __init__(self, directory: Path) -> None:
        self._file = directory / "last_good.json"
        self._lock = directory / "last_good.lock"

    def versions(self, reference: str) -> dict[str, RegisteredVersion]:
        """Registered model -> the version last served for this reference."""
        rows = self._read()["references"].get(reference, [])
        found = {}
        for row in rows if isinstance(rows, list) else []:
            with contextlib.suppress(TypeError, KeyError):
                version = RegisteredVersion(**{name: str(row[name]) for name in _FIELDS})
                found[version.name] = version
        return found

    def remember(self, served: Mapping[str, Iterable[RegisteredVersion]]) -> None:
        """Replace what is kept for these references and leave the others alone."""
        with locks.locked(self._lock):
            known = self._read()
            references = dict(known["references"])
            for reference, versions in served.items():
                references[reference] = [{name: asdict(version)[name] for name in _FIELDS} for version in versions]
            if references != known["references"]:
                self._write(known | {"references": references})

    def unloaded(self) -> frozenset[str]:
        """Registered models that were unloaded by hand."""
        return frozenset(str(name) for name in self._read()["unloaded"])

    def set_unloaded(self, name: str, unloaded: bool) -> None:
        """Remember that a registered model is not to be served, or is again."""
        with locks.locked(self._lock):
            known = self._read()
            names = {str(n) for n in known["unloaded"]} - {name} | ({name} if unloaded else set())
            self._write(known | {"unloaded": sorted(names)})

    def _read(self) -> dict[str, Any]:
        """The file's content; a file that is missing or torn is as good as empty."""
        found: Any = None
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(self._file.read_bytes())
        found = found if isinstance(found, dict) else {}
        references, unloaded = found.get("references"), found.get("unloaded")
        return {
            "references": references if isinstance(references, dict) else {},
            "unloaded": unloaded if isinstance(unloaded, list) else [],
        }

    def _write(self, content: Mapping[str, Any]) -> None:
        half = self._file.with_suffix(".half")  # one writer at a time: the lock
        try:
            with half.open("w", encoding="utf-8") as stream:
                json.dump(content, stream, indent=1)
                stream.flush()
                os.fsync(stream.fileno())
            half.replace(self._file)
        finally:
            half.unlink(missing_ok=True)
