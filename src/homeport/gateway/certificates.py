"""The authority and the certificate of a site, kept in its directory: made when missing, renewed when due, else left.

`ca.pem` is what users trust; the keys are for the gateway's user alone. To be called by one process at a time.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from homeport.errors import HomeportError
from homeport.gateway.authority import Pair, make_authority, make_leaf, names, signed_by, signs_for, utc_now
from homeport.gateway.files import write

CA = "ca.pem"
_LEAVES, _AUTHORITIES = "certificates", "authorities"
_PRIVATE, _PUBLIC = 0o600, 0o644
_NOT_BEFORE = datetime(2026, 1, 1, tzinfo=UTC)  # older than this program: a clock that says so is wrong


@dataclass(frozen=True)
class Kept:
    """What is there now: the file with certificate and key, until when it holds, and what had to be made for that."""

    file: Path
    until: datetime
    fingerprint: str
    new_authority: bool
    new_certificate: bool


def keep(directory: Path, domain: str, hosts: tuple[str, ...], now: datetime | None = None) -> Kept:
    """See that there is a certificate for these hosts that holds for a month at least.

    Args:
        directory: the gateway's.
        domain: the one the authority may sign for. Each has an authority of its own, kept when the domain changes.
        hosts: names the certificate has to hold.
        now: the time, in UTC.

    Raises:
        HomeportError: CLOCK_WRONG.
        OSError: as the system reports it.
    """
    now = now or utc_now()
    if now < _NOT_BEFORE:
        raise HomeportError(
            code="CLOCK_WRONG",
            what="this machine's clock is wrong, so no certificate can be made",
            evidence=(("needed", f"after {_NOT_BEFORE:%Y-%m-%d}"), ("found", f"{now:%Y-%m-%d %H:%M} UTC")),
            why="a certificate of that date would be refused once the clock is right",
            fix="set the clock (timedatectl set-ntp true), then start again",
        )
    place = directory / _AUTHORITIES / f"{domain}.pem"
    authority = _read(place)
    new_authority = authority is None or not authority.holds(now) or domain not in signs_for(authority)
    if authority is None or new_authority:
        authority = make_authority(domain, now)
        write(place, authority.dumps(), _PRIVATE)
    write(directory / CA, authority.public(), _PUBLIC)
    wanted = (*hosts, f"*.{domain}")
    leaf = _newest(directory / _LEAVES, authority, frozenset(wanted), now)
    new = leaf is None
    if leaf is None:
        leaf = make_leaf(authority, wanted, now)
    # A file of its own each: Traefik reads a certificate anew only when its configuration names another file.
    file = directory / _LEAVES / f"{leaf.certificate.serial_number:x}.pem"
    write(file, leaf.dumps(), _PRIVATE)
    return Kept(file, leaf.until, authority.fingerprint, new_authority, new)


def forget_others(kept: Path) -> None:
    """Remove the certificates that are not used any more, once nothing names them."""
    for file in kept.parent.glob("*.pem"):
        if file != kept:
            file.unlink()


def _newest(place: Path, authority: Pair, wanted: frozenset[str], now: datetime) -> Pair | None:
    found = [pair for file in place.glob("*.pem") if (pair := _read(file))]
    usable = [pair for pair in found if pair.holds(now) and signed_by(pair, authority) and wanted <= names(pair)]
    return max(usable, key=lambda pair: pair.until, default=None)


def _read(file: Path) -> Pair | None:
    with suppress(FileNotFoundError):
        return Pair.loads(file.read_bytes())
    return None
