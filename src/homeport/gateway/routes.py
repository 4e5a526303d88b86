"""A site -> Traefik's dynamic configuration (v3): which host leads where, and what is never answered from outside.

Pure data; https://doc.traefik.io/traefik/reference/routing-configuration/. Refuses to know how certificates are made.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homeport.gateway.site import Site

ENTRY_POINT = "websecure"


@dataclass(frozen=True)
class Denied:
    """A prefix that is not answered from outside, whoever asks.

    Args:
        prefix: below it and it itself, however it is spelled.
        unless: variable that opens it.
        route: the one subdomain it is denied on; empty: on all.
    """

    prefix: str
    unless: str = ""
    route: str = ""


# The servers behind ask for a password themselves. This holds where one of them forgets to, as several releases of
# MLflow did (CVE-2026-0545, CVE-2026-2652, CVE-2026-3198), and where a route is for machines next door only.
DENIED = (
    Denied("/metrics"),
    Denied("/ajax-api/3.0/mlflow/assistant", route="mlflow"),  # runs commands on the server; meant for loopback
    Denied("/ajax-api/3.0/jobs", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "mlflow"),
    Denied("/gateway", "MLFLOW_ENABLE_AI_GATEWAY", "mlflow"),
    Denied("/ajax-api/2.0/mlflow/gateway-proxy", "MLFLOW_ENABLE_AI_GATEWAY", "mlflow"),
)
_SLASH = r"([/\\]|%2f|%5c)"
# `..` as a segment where a slash is encoded (Traefik resolves the plain ones), and anything encoded twice.
TRAVERSAL = rf"(?i)((^|{_SLASH})\.\.({_SLASH}|$))|%25(2e|2f|5c|25)|%00|\x00"

_COMPRESSED = (
    r"^/static-files/|^/(ajax-)?api/[0-9]\.[0-9]/mlflow/[a-z-]+/"
    r"(search|list|get-history|get-history-bulk|get-history-bulk-interval)$"
)
_TYPES = ["application/javascript", "text/javascript", "text/css", "text/html", "application/json", "image/svg+xml"]
_FIRST, _SECOND, _LAST = 3000, 2000, 1000  # explicit: the default is the length of the rule


def configuration(site: Site, certificate: Path | None) -> dict[str, Any]:
    """What Traefik has to follow.

    Args:
        site: the gateway's.
        certificate: file with certificate and key; None: Let's Encrypt's.
    """
    routers: dict[str, Any] = {}
    for name in site.routes:
        routers |= _of_route(site, name)
    first = next(iter(site.routes))
    routers["domain"] = _router(
        site, f"Host(`{site.domain}`)", service="nobody", middlewares=["headers", f"to-{first}"], priority=_LAST
    )
    return {
        "http": {
            "routers": routers,
            "services": {name: _service(address) for name, address in site.routes.items()}
            | {"nobody": {"loadBalancer": {"servers": []}}},
            "middlewares": _middlewares(site, first),
            "serversTransports": {
                # The servers behind close an idle connection after 5 s; a request must never meet that.
                "behind": {"forwardingTimeouts": {"idleConnTimeout": "3s"}}
            },
        },
        "tls": _tls(certificate),
    }


def denied(site: Site, name: str) -> list[str]:
    """The prefixes that are denied on one route."""
    here = [each for each in DENIED if each.route in {"", name}]
    return [each.prefix for each in here if each.unless not in site.enabled]


def spellings(prefix: str) -> str:
    """A regular expression for a path that begins with `prefix`, slashes doubled or encoded.

    Traefik matches it against the path in which what needs no encoding is decoded.
    """
    segments = [each.replace(".", r"\.") for each in prefix.strip("/").split("/")]
    return f"(?i)^{_SLASH}+" + f"{_SLASH}+".join(segments) + "([^a-z0-9_-]|$)"


def _of_route(site: Site, name: str) -> dict[str, Any]:
    host = f"Host(`{name}.{site.domain}`)"
    refused = " || ".join(f"PathRegexp(`{each}`)" for each in (TRAVERSAL, *map(spellings, denied(site, name))))
    routers = {
        f"{name}-denied": _router(
            site, f"{host} && ({refused})", service="nobody", middlewares=["headers", "nobody"], priority=_FIRST
        ),
        name: _router(site, host, service=name, middlewares=["headers"], priority=_LAST),
    }
    if name == "mlflow":
        # Named answers only: artifacts may be packed already, and ranges of them must stay what they are.
        routers[f"{name}-compressed"] = _router(
            site, f"{host} && PathRegexp(`{_COMPRESSED}`)", service=name, middlewares=["headers", "compressed"],
            priority=_SECOND,
        )  # fmt: skip
    return routers


def _router(site: Site, rule: str, *, service: str, middlewares: list[str], priority: int) -> dict[str, Any]:
    return {
        "entryPoints": [ENTRY_POINT],
        "rule": rule,
        "priority": priority,
        "service": service,
        "middlewares": middlewares,
        "tls": {"certResolver": "letsencrypt"} if site.public else {},
    }


def _service(address: str) -> dict[str, Any]:
    # No health check: with one server behind, it could only make a short pause into a longer one.
    return {
        "loadBalancer": {
            "servers": [{"url": f"http://{address}"}], "passHostHeader": True, "serversTransport": "behind",
        }
    }  # fmt: skip


def _middlewares(site: Site, first: str) -> dict[str, Any]:
    headers: dict[str, Any] = {
        "contentTypeNosniff": True,
        "customFrameOptionsValue": "SAMEORIGIN",  # as MLflow itself
        # Traefik sets X-Forwarded-For, -Host and the like anew, but lets these pass that others take for its word.
        "customRequestHeaders": {"Forwarded": "", "X-Forwarded-User": ""},
    }
    if site.public:
        # Nothing is promised for a year on behalf of an authority of our own: a browser could not be talked out of it.
        headers["stsSeconds"] = 31_536_000
    domain = site.domain.replace(".", r"\.")
    return {
        "headers": {"headers": headers},
        "nobody": {"ipAllowList": {"sourceRange": ["0.0.0.0/32"]}},
        "compressed": {"compress": {"includedContentTypes": _TYPES, "encodings": ["zstd", "gzip"]}},
        f"to-{first}": {
            "redirectRegex": {
                "regex": rf"^https?://{domain}(:[0-9]+)?(/.*)?$",
                "replacement": f"https://{first}.{site.domain}${{1}}${{2}}",
            }
        },
    }


def _tls(certificate: Path | None) -> dict[str, Any]:
    # Whoever asks for another name gets no certificate at all, rather than one that says what is here.
    tls: dict[str, Any] = {"options": {"default": {"minVersion": "VersionTLS12", "sniStrict": True}}}
    if certificate:
        files = {"certFile": str(certificate), "keyFile": str(certificate)}
        tls["certificates"] = [files]
        tls["stores"] = {"default": {"defaultCertificate": dict(files)}}
    return tls
