"""Checks of a platform in containers, each with the fix. Asks and reports; changes nothing and prints nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from homeport.compose import names, ports
from homeport.compose.platform import ComposePlatform
from homeport.operations.doctor import Check, rows

_SOON = 14  # days; the gateway makes a new certificate long before


def examine(platform: ComposePlatform) -> list[Check]:
    """Every check, each safe from the others' failures."""
    checks: tuple[Callable[[ComposePlatform], Iterator[Check]], ...] = (
        _docker, _directory, _secrets, _ports, _names, _login, _running, _certificate,
    )  # fmt: skip
    found: list[Check] = []
    for check in checks:
        found += rows(check, platform)
        if check is _docker and found[-1].status == "fail":
            break  # nothing below can be asked
    return found


def _docker(platform: ComposePlatform) -> Iterator[Check]:
    found = platform.site.engine
    yield Check("docker", "pass", f"engine {found.engine_version} by {found.docker}")
    yield Check("compose", "pass", f"{found.compose_version} by {' '.join(found.compose)}")


def _directory(platform: ComposePlatform) -> Iterator[Check]:
    if platform.site.place.made:
        yield Check("directory", "pass", f"{platform.home}, project {platform.site.model.name}")
    else:
        yield Check("directory", "warn", f"no compose.yaml in {platform.home}", "homeport up --target compose")


def _secrets(platform: ComposePlatform) -> Iterator[Check]:
    if not platform.site.place.made:
        return
    place = platform.site.secrets
    if place.is_dir() and place.stat().st_mode & 0o077:
        yield Check("secrets", "fail", f"{place} can be entered by others", f"chmod 700 {place}")
    else:
        yield Check("secrets", "pass", str(place))


def _ports(platform: ComposePlatform) -> Iterator[Check]:
    if not platform.site.place.made:
        return
    ports.check(platform.site.model, platform.site.containers(), platform.settings)
    told = ", ".join(f"{address}:{port}" for _, address, port in platform.site.model.published())
    yield Check("ports", "pass", f"{told or 'none'}, free or held by this platform")


def _names(platform: ComposePlatform) -> Iterator[Check]:
    missing = names.unresolved(platform.names)
    if missing:
        said = f"{', '.join(missing)}: programs here do not find it; browsers and curl find what ends in .localhost"
        yield Check("names", "warn", said, names.mend(missing))
    else:
        yield Check("names", "pass", ", ".join(platform.names))


def _login(platform: ComposePlatform) -> Iterator[Check]:
    notes = list(platform.notes())
    for note in notes:
        yield Check("login", "warn", note, "remove HOMEPORT_AUTH, then: homeport up --target compose")
    if not notes:
        yield Check("login", "pass", "clients must log in")


def _running(platform: ComposePlatform) -> Iterator[Check]:
    found = platform.status()
    if not found["services"]:
        yield Check("platform", "warn", "not running", "homeport up --target compose")
    elif found["ready"]:
        yield Check("platform", "pass", f"ready at {platform.tracking_uri}")
    else:
        rows = [row for row in found["services"] if row["state"] not in {"healthy", "completed"}]
        said = ", ".join(f"{row['name']} {row['state']} {row['detail']}".strip() for row in rows)
        yield Check("platform", "fail", f"not ready: {said}", "homeport logs --target compose")


def _certificate(platform: ComposePlatform) -> Iterator[Check]:
    if not platform.site.place.made or not platform.ca.is_file():
        return
    from cryptography import x509

    ends = x509.load_pem_x509_certificate(platform.ca.read_bytes()).not_valid_after_utc
    days = (ends - datetime.now(UTC)).days
    said = f"own CA until {ends.date()}: {platform.ca}"
    yield Check("certificate", "pass" if days > _SOON else "warn", said, "" if days > _SOON else "homeport restart")
