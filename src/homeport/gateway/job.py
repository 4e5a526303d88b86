"""What the job `gateway-init` does: read the site, keep its certificate, write its routes. Idempotent."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from homeport.gateway import certificates, files, site
from homeport.gateway.routes import configuration

ROUTES = "routes"
FILE = "homeport.yaml"
_HEAD = (
    "# Written by `python -m homeport.gateway`. Other files in this directory are yours; Traefik follows them too.\n"
)
_READABLE_BY_US = 0o600


def prepare(environ: Mapping[str, str] | None = None) -> str:
    """Write all that Traefik follows, and say in one line what was done.

    Raises:
        HomeportError: SETTING_*, DOMAIN_*, CLOCK_WRONG, DISK_FULL or GATEWAY_NOT_WRITABLE.
    """
    asked = site.from_environ(environ)
    with files.alone(asked.directory):
        kept = None if asked.public else certificates.keep(asked.directory, asked.domain, asked.hosts)
        text = _HEAD + yaml.safe_dump(configuration(asked, kept.file if kept else None), sort_keys=False, width=1000)
        routes = asked.directory / ROUTES
        changed = files.write(routes / FILE, text.encode(), _READABLE_BY_US)
        for stale in set(routes.glob("homeport*.y*ml")) - {routes / FILE}:
            stale.unlink()
        if kept:
            certificates.forget_others(kept.file)
    said = f"{len(asked.routes)} routes of {asked.domain} {'written' if changed else 'are as they were'}"
    return f"{said}; {_certificate(asked, kept)}"


def _certificate(asked: site.Site, kept: certificates.Kept | None) -> str:
    if kept is None:
        return "Let's Encrypt signs"
    what = "new certificate" if kept.new_certificate else "certificate"
    line = f"{what} until {kept.until:%Y-%m-%d}, signed by {asked.directory / certificates.CA}"
    if kept.new_authority:
        return f"{line}, which is new: users have to trust it (SHA-256 {kept.fingerprint})"
    return line
