"""A site's own files beside compose.yaml: `.env` with its settings, `secrets/` with what it generates.

Nothing that is there is ever changed or removed: missing lines are appended, missing files made. Prints nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from homeport import layers
from homeport.errors import ExitCode, HomeportError
from homeport.model.values import Secret
from homeport.render import older
from homeport.render.dotenv import OF_COMPOSE, appended, example, missing_from, variables
from homeport.render.files import not_writable
from homeport.render.variants import BASE, EXTERNAL, SHARED, VARIANTS, Variant, chosen, files, graph_of
from homeport.settings import Settings, knobs
from homeport.supervisor import secret

ENV, SECRETS, OVERRIDE = ".env", "secrets", "compose.override.yaml"
_FILE_MODE, _DIRECTORY_MODE, _ENV_MODE = 0o444, 0o700, 0o600

# What a file rendered beforehand cannot do: choose by the machine, or leave a service out.
_NOT_HERE = {
    "HOMEPORT_AUTH": ("auto",),
    "HOMEPORT_WORKERS": ("0",),
    "HOMEPORT_SERVING_WORKERS": ("0",),
    "HOMEPORT_SERVE": ("none",),
}
_IN_URI = {"POSTGRES_USER", "POSTGRES_DB"}  # Compose puts them into a URI as they stand
PLAIN_IN_URI = r"[A-Za-z0-9._~-]+"


@dataclass
class Outcome:
    """What was made, or would be.

    Args:
        made: files, relative to the directory.
        added: variables that were appended to `.env`.
        taken: (variable of `.env`, secret file that holds its value now).
        needed: (what is missing, what to do), where only the user can give it.
        notes: what else to know.
    """

    made: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    taken: list[tuple[str, str]] = field(default_factory=list)
    needed: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether anything was, or would be, written."""
        return bool(self.made or self.added)


def make(directory: Path, *, check: bool = False) -> Outcome:
    """Make what is missing in a site's directory.

    Args:
        directory: where compose.yaml is.
        check: only say what is missing.

    Raises:
        HomeportError: SETTING_INVALID when `.env` says what cannot be; RENDER_COMBINATION; SECRET_UNREADABLE;
            SITE_NOT_WRITABLE or DISK_FULL.
    """
    outcome = Outcome()
    directory = directory.absolute()
    found = layers.dotenv(directory / ENV)
    given = older.given(found)
    settings = _settings(given)
    outcome.notes += layers.unknown(
        {name: value for name, value in given.items() if name not in OF_COMPOSE}, ENV, knobs()
    )
    variants = variants_of(given, settings)
    values = _values(directory, found, given, variants)
    try:
        _write_env(directory, values, outcome, check=check)
        _write_secrets(directory, found, given, outcome, check=check)
    except OSError as error:
        raise not_writable(directory, error) from error
    _needed(directory, given | values, variants, outcome)
    if any(name.startswith("MINIO_") for name in found):
        outcome.notes.append("MinIO's images are gone; docs/how-to/compose.md moves a bucket into the store here")
    return outcome


def _settings(given: Mapping[str, str]) -> Settings:
    """What `.env` says, checked: each value must stand there as the containers are to read it."""
    values = {}
    for item in knobs():
        found = layers.first(item, [(ENV, given)])
        if found is None:
            continue
        raw, source = found
        values[item.name] = item.read(raw, source)
        written = item.written(values[item.name])
        if not item.is_secret and item.env in variables() and written != raw:
            raise item.refused(
                raw, source, f"containers read {item.env} as it stands in .env", f"write {item.env}={written}"
            )
        if raw in _NOT_HERE.get(item.env, ()):
            raise item.refused(
                raw, source, f"{item.env}={raw} is for plain processes", "remove it, or write another value"
            )
        if item.env in _IN_URI and not re.fullmatch(PLAIN_IN_URI, str(raw)):
            raise item.refused(
                raw, source, f"{item.env} must be letters, digits, . _ ~ - only", f"choose another {item.env}"
            )
    return Settings(**values)


def variants_of(given: Mapping[str, str], settings: Settings) -> tuple[Variant, ...]:
    """The variants that COMPOSE_FILE names, else those that the settings ask for."""
    if given.get("COMPOSE_FILE"):
        named = re.split(r"[:;]", given["COMPOSE_FILE"])
        found = tuple(variant for variant in VARIANTS if variant.file in {Path(name).name for name in named})
    else:
        both = bool(settings.backend_store_uri) and bool(settings.s3_endpoint_url)
        # One alone is a line of an older stack, whose store was another container; `_needed` says so.
        found = chosen(settings if both else replace(settings, backend_store_uri="", s3_endpoint_url=""))
    files(found)
    return found


def _values(
    directory: Path, found: Mapping[str, str], given: Mapping[str, str], variants: tuple[Variant, ...]
) -> dict[str, str]:
    """Values that belong into `.env` and are not there: taken over under our names, or known from this machine."""
    values = {ours: given[ours] for ours in older.SYNONYMS.values() if ours in given and ours in variables()}
    if variants and not given.get("COMPOSE_FILE"):
        own = [OVERRIDE] if (directory / OVERRIDE).is_file() else []
        values["COMPOSE_FILE"] = ":".join([*files(variants), *own])
    if SHARED in variants and (owner := _owner(Path(given.get("HOMEPORT_SHARED_ARTIFACTS", "")))):
        values |= {"HOMEPORT_UID": str(owner[0]), "HOMEPORT_GID": str(owner[1])}
    return {name: value for name, value in values.items() if not found.get(name)}


def _owner(directory: Path) -> tuple[int, int] | None:
    """Uid and gid of the directory's owner, or of whoever runs this where it cannot be seen (in a container)."""
    try:
        stat = directory.stat() if directory.is_absolute() else None
    except OSError:
        stat = None
    owner = (stat.st_uid, stat.st_gid) if stat else (os.getuid(), os.getgid())
    return owner if owner[0] else None


def _write_env(directory: Path, values: Mapping[str, str], outcome: Outcome, *, check: bool) -> None:
    file = directory / ENV
    if not file.exists():
        outcome.made.append(ENV)
        if not check:
            _private(file, example(values))
        return
    text = file.read_text(encoding="utf-8")
    missing = missing_from(text)
    more = appended(text, missing, values)
    outcome.added += dict.fromkeys([*(variable.name for variable in missing), *values])
    if more != text and not check:
        with file.open("a", encoding="utf-8") as stream:
            stream.write(more.removeprefix(text))


def _private(file: Path, text: str) -> None:
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _ENV_MODE)
    with open(handle, "w", encoding="utf-8") as stream:  # noqa: PTH123 - opens a descriptor, not a path
        stream.write(text)


def secrets_directory(directory: Path, given: Mapping[str, str]) -> Path:
    """Where the secret files are: HOMEPORT_SECRETS, relative to the site's directory."""
    return directory / Path(given.get("HOMEPORT_SECRETS") or SECRETS).expanduser()


def _write_secrets(
    directory: Path, found: Mapping[str, str], given: Mapping[str, str], outcome: Outcome, *, check: bool
) -> None:
    place = secrets_directory(directory, given)
    if not check:
        place.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        place.chmod(_DIRECTORY_MODE)
    taken = older.taken(given)
    for name, kind in _every().items():
        file = place / name
        if not file.exists() and (name in taken or kind is not None):
            outcome.made.append(f"{place.relative_to(directory) if place.is_relative_to(directory) else place}/{name}")
            if check:
                continue
            if name in taken:
                secret.given(file, taken[name])
            elif kind is not None:
                secret.kept(file, kind.kind)
            file.chmod(_FILE_MODE)
        elif file.exists() and not check and file.stat().st_mode & 0o777 != _FILE_MODE:
            file.chmod(_FILE_MODE)
    _say_taken(place, found, taken, outcome)


def _say_taken(place: Path, found: Mapping[str, str], taken: Mapping[str, str], outcome: Outcome) -> None:
    """Which lines of `.env` have become files and may go."""
    for line, name in older.lines(found):
        if name not in taken:
            continue
        file = place / name
        if file.exists() and file.read_text(encoding="utf-8").rstrip("\r\n") != taken[name]:
            outcome.notes.append(f"{line} has no effect: {place.name}/{name} holds another value; delete that line")
        else:
            outcome.taken.append((line, f"{place.name}/{name}"))


def _every() -> dict[str, Secret | None]:
    """Every secret that some Compose file mounts; None: only the user can give it."""
    every: dict[str, Secret | None] = {}
    for variants in ((), *((variant,) for variant in VARIANTS)):
        for name, found in graph_of(variants).secrets().items():
            every[name] = found if found.given is None else None
    return every


def _needed(directory: Path, values: Mapping[str, str], variants: tuple[Variant, ...], outcome: Outcome) -> None:
    """What only the user can give."""
    place = secrets_directory(directory, values)
    for variant in variants:
        for name, why in variant.required.items():
            if not values.get(name):
                outcome.needed.append((name, f"set it in .env: {why}"))
        for name, found in graph_of((variant,)).secrets().items():
            if found.given is not None and not (place / name).exists() and name not in older.taken(values):
                outcome.needed.append((f"{place.name}/{name}", f"{variant.file} mounts it: write it there, mode 0444"))
    named = [Path(name).name for name in re.split(r"[:;]", values.get("COMPOSE_FILE", ""))]
    ordered = [name for name in named if name in {BASE, *(variant.file for variant in VARIANTS)}]
    if ordered and tuple(ordered) != files(variants):
        outcome.needed.append(("COMPOSE_FILE", f"in this order: {':'.join(files(variants))}"))
    if not (directory / BASE).is_file():
        outcome.needed.append((BASE, f"homeport render compose --directory {directory}"))
    for name in ("MLFLOW_S3_ENDPOINT_URL", "MLFLOW_BACKEND_STORE_URI"):
        if values.get(name) and EXTERNAL not in variants:
            outcome.notes.append(
                f"{name} has no effect without {EXTERNAL.file}, which takes both stores: the platform runs its own"
            )


def missing(directory: Path) -> HomeportError | None:
    """What `docker compose up` would stumble over, or None: for whoever starts Compose."""
    outcome = make(directory, check=True)
    lacking = [*(file for file in outcome.made), *(name for name, _ in outcome.needed)]
    if not lacking:
        return None
    return HomeportError(
        code="SITE_INCOMPLETE",
        what=f"{len(lacking)} files or settings that Compose needs are not there",
        evidence=(("directory", str(directory)), ("missing", ", ".join(lacking))),
        why="compose.yaml mounts every secret from a file",
        fix=f"homeport render env --directory {directory}",
        exit_code=ExitCode.USAGE,
    )
