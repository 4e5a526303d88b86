"""What a gateway is asked for: domain, routes, and who signs its certificate. Reads the environment only."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from homeport.errors import ExitCode, HomeportError
from homeport.program import setting

# Names that no public authority signs: RFC 6761, 6762, 8375, 2606, ICANN's `internal`, and what routers make up.
_PRIVATE = frozenset(
    {"localhost", "local", "internal", "test", "home.arpa", "invalid", "example", "onion", "localdomain", "lan", "home"}
    | {"corp", "intranet", "private"}
)
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_ADDRESS = re.compile(rf"{_LABEL}(?:\.{_LABEL})*:[0-9]{{1,5}}")
_LONGEST = 253


@dataclass(frozen=True)
class Site:
    """One gateway.

    Args:
        domain: the domain under which everything is.
        routes: subdomain -> service, as `mlflow` -> `tracking:5000`; the first is where DOMAIN itself leads.
        public: whether Let's Encrypt signs, else an authority of our own.
        directory: where all is kept; Traefik follows `routes/` in it.
        enabled: variables that are true, for what is denied unless it is switched on.
    """

    domain: str
    routes: Mapping[str, str]
    public: bool
    directory: Path
    enabled: frozenset[str] = frozenset()

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every name the gateway answers to."""
        return (self.domain, *(f"{name}.{self.domain}" for name in self.routes))


SWITCHES = ("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "MLFLOW_ENABLE_AI_GATEWAY")
"""Variables that open routes which are denied otherwise."""


def from_environ(environ: Mapping[str, str] | None = None) -> Site:
    """Read it.

    Raises:
        HomeportError: SETTING_MISSING or SETTING_INVALID, naming the variable.
    """
    env = os.environ if environ is None else environ
    domain = setting("DOMAIN", None, env).strip().lower().rstrip(".")
    _check_domain(domain)
    tls = setting("HOMEPORT_TLS", "auto", env).strip().lower()
    if tls not in {"auto", "internal", "letsencrypt"}:
        raise _invalid("HOMEPORT_TLS", "auto, internal or letsencrypt", tls, "set HOMEPORT_TLS=auto")
    public = is_public(domain)
    if tls == "letsencrypt" and not public:
        raise HomeportError(
            code="DOMAIN_NOT_PUBLIC",
            what=f"Let's Encrypt signs no certificate for {domain}",
            evidence=(("HOMEPORT_TLS", tls), ("DOMAIN", domain)),
            why="it asks the public DNS who owns a domain, and this one is not in it",
            fix="set DOMAIN to a domain of yours, or HOMEPORT_TLS=internal for an authority of its own",
            exit_code=ExitCode.USAGE,
        )
    return Site(
        domain=domain,
        routes=_routes(setting("HOMEPORT_ROUTES", None, env), domain),
        public=public and tls != "internal",
        directory=Path(setting("HOMEPORT_GATEWAY_DIRECTORY", None, env)).absolute(),
        enabled=frozenset(name for name in SWITCHES if env.get(name, "").strip().lower() in {"true", "1", "yes", "on"}),
    )


def is_public(domain: str) -> bool:
    """Whether Let's Encrypt could sign for it."""
    labels = domain.split(".")
    reserved = {".".join(labels[place:]) for place in range(len(labels))} & _PRIVATE
    return len(labels) > 1 and not reserved and not is_address(domain)


def is_address(domain: str) -> bool:
    """Whether that is an IP address and no name."""
    try:
        ipaddress.ip_address(domain)
    except ValueError:
        # What a browser takes for an address: its last label is a number (WHATWG URL, "ends in a number").
        return re.fullmatch(r"[0-9]+|0x[0-9a-f]*", domain.rpartition(".")[2]) is not None
    return True


def _check_domain(domain: str) -> None:
    if is_address(domain):
        raise HomeportError(
            code="DOMAIN_IS_AN_ADDRESS",
            what=f"DOMAIN={domain} is an address, and the gateway tells services apart by name",
            why=f"browsers refuse mlflow.{domain}: what ends in a number has to be an address",
            fix="set DOMAIN to a name that leads here: by DNS, by /etc/hosts (mlflow.NAME, models.NAME), or localhost",
            exit_code=ExitCode.USAGE,
        )
    if not _NAME.fullmatch(domain) or len(domain) > _LONGEST:
        raise _invalid("DOMAIN", "a domain name", domain, "set DOMAIN to a name such as example.org")


def _routes(text: str, domain: str) -> dict[str, str]:
    routes: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, address = part.partition("=")
        name, address = name.strip().lower(), address.strip()
        port = address.rpartition(":")[2]
        usable = re.fullmatch(_LABEL, name) and _ADDRESS.fullmatch(address) and 0 < int(port) <= 65535  # noqa: PLR2004
        if not usable or name in routes or len(f"{name}.{domain}") > _LONGEST:
            raise _invalid(
                "HOMEPORT_ROUTES",
                "mlflow=tracking:5000,models=serving:5002",
                part,
                "write each as NAME=HOST:PORT, once",
            )
        routes[name] = address
    if not routes:
        raise _invalid("HOMEPORT_ROUTES", "at least one route", text, "write it as mlflow=tracking:5000")
    return routes


def _invalid(name: str, needed: str, found: str, fix: str) -> HomeportError:
    return HomeportError(
        code="SETTING_INVALID",
        what=f"{name} is not usable",
        evidence=(("needed", needed), ("found", found)),
        fix=fix,
        exit_code=ExitCode.USAGE,
    )
