"""The published wine-quality file: downloads it once into a cache, whole and checked, or not at all.

What is in the file it refuses to know: it compares a checksum.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import click
import platformdirs
import requests

from homeport.errors import HomeportError
from homeport.training.connection import reason

# P. Cortez et al., "Modeling wine preferences by data mining from physicochemical properties" (2009), UCI archive.
WINE_URL = "https://archive.ics.uci.edu/ml/machine-learning-databases/wine-quality/winequality-white.csv"
WINE_SHA256 = "76c3f809815c17c07212622f776311faeb31e87610d52c26d87d6e361b169836"
WINE_FILE = "winequality-white.csv"

_MAX_BYTES = 4 * 1024 * 1024  # the file has 264,426 bytes; an endless answer must not fill the disk
_TIMEOUT = (10, 30)  # seconds to connect, seconds between two pieces
_CHUNK = 16 * 1024  # bytes
_FIX = "download it in a browser, then: homeport train wine-quality --data FILE"


def cache_directory() -> Path:
    """Where downloads are kept: HOMEPORT_CACHE, else the user's cache directory."""
    chosen = os.environ.get("HOMEPORT_CACHE")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("homeport"))


def fetch_wine_quality(directory: Path | None = None, *, url: str = WINE_URL, sha256: str = WINE_SHA256) -> Path:
    """Return the published file, downloading it with a progress bar on stderr unless the cache has it.

    Args:
        directory: where to keep it; `cache_directory()` when left out.
        url: where to get it.
        sha256: what its bytes must hash to, in hexadecimal.

    Raises:
        HomeportError: ``DOWNLOAD_*`` when it cannot be had whole, ``CACHE_UNWRITABLE`` when it cannot be kept.
    """
    kept = (directory or cache_directory()) / WINE_FILE
    try:
        if kept.is_file() and hashlib.sha256(kept.read_bytes()).hexdigest() == sha256:
            return kept
        kept.parent.mkdir(parents=True, exist_ok=True)
        _replace(kept, url, sha256)
    except requests.RequestException as error:
        raise _unreachable(url, error) from error
    except OSError as error:
        raise HomeportError(
            "CACHE_UNWRITABLE",
            f"the download cannot be kept in {kept.parent}",
            why=error.strerror or str(error),
            fix="choose another directory: HOMEPORT_CACHE=DIRECTORY homeport train wine-quality",
        ) from error
    return kept


def _replace(kept: Path, url: str, sha256: str) -> None:
    # The part lies beside its destination, so that the rename is atomic: nobody ever reads half a file.
    descriptor, name = tempfile.mkstemp(dir=kept.parent, prefix=f".{kept.name}.", suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            found = _download(url, file)
            file.flush()
            os.fsync(file.fileno())
        if found != sha256:
            raise _mismatch(url, sha256, found)
        part.replace(kept)
    finally:
        part.unlink(missing_ok=True)


def _download(url: str, file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    with requests.get(url, stream=True, timeout=_TIMEOUT, headers={"Accept-Encoding": "identity"}) as answer:
        if not answer.ok:
            raise HomeportError(
                "DOWNLOAD_REFUSED",
                "the wine-quality file could not be downloaded",
                evidence=(("request", f"GET {url} -> {answer.status_code} {answer.reason}"),),
                fix=_FIX,
            )
        with click.progressbar(
            length=answer.raw.length_remaining or _MAX_BYTES, label=f"Downloading {WINE_FILE}", file=sys.stderr
        ) as bar:
            try:
                for piece in _pieces(answer):
                    digest.update(piece)
                    file.write(piece)
                    bar.update(len(piece))
            except requests.RequestException as error:
                raise _cut_short(url, error) from error
    return digest.hexdigest()


def _pieces(answer: requests.Response) -> Iterator[bytes]:
    received = 0
    for piece in answer.iter_content(_CHUNK):
        received += len(piece)
        if received > _MAX_BYTES:  # the checksum will say that this is another file
            return
        yield piece


def _unreachable(url: str, error: requests.RequestException) -> HomeportError:
    return HomeportError(
        "DOWNLOAD_UNREACHABLE",
        "the wine-quality file could not be downloaded",
        evidence=(("request", f"GET {url} -> {reason(error)}"),),
        why="this machine may have no way to the internet, or need a proxy (HTTPS_PROXY)",
        fix=_FIX,
    )


def _cut_short(url: str, error: requests.RequestException) -> HomeportError:
    return HomeportError(
        "DOWNLOAD_TRUNCATED",
        "the download of the wine-quality file broke off",
        evidence=(("request", f"GET {url} -> {reason(error)}"),),
        fix=f"run it again, or {_FIX}",
    )


def _mismatch(url: str, needed: str, found: str) -> HomeportError:
    return HomeportError(
        "DOWNLOAD_CHECKSUM",
        "the downloaded wine-quality file is not the published one",
        evidence=(("from", url), ("needed", f"sha256 {needed}"), ("found", f"sha256 {found}")),
        why="something between this machine and the archive answered in its place, or the archive changed the file",
        fix=_FIX,
    )
