"""Who may come in, and through which gateway: logins, domain, certificates.

Refuses to know what the values are used for.
"""

from __future__ import annotations

from dataclasses import dataclass

from homeport.knobs import choice, domain, knob, port, secret, text


@dataclass(frozen=True)
class Access:
    """Logins and the gateway."""

    auth: str = knob(
        "HOMEPORT_AUTH",
        choice("auto", "basic", "off"),
        "auto",
        "Whether clients must log in: `basic` (MLflow's own users), `off`, or `auto`: off on loopback, basic in "
        "containers.",
    )
    admin_username: str = knob(
        "MLFLOW_AUTH_ADMIN_USERNAME", text, "admin", "MLflow's administrator, where clients must log in."
    )
    admin_password: str = knob(
        "MLFLOW_AUTH_ADMIN_PASSWORD", secret, "", "Password of that account; empty: generated and kept in secrets/."
    )
    serving_key: str = knob(
        "HOMEPORT_SERVING_KEY",
        secret,
        "",
        "Key that the serving API asks for where clients must log in; empty: generated and kept in secrets/.",
    )
    domain: str = knob(
        "DOMAIN", domain, "localhost", "Domain of the gateway: the UI is mlflow.DOMAIN, predictions models.DOMAIN."
    )
    tls: str = knob(
        "HOMEPORT_TLS",
        choice("auto", "internal", "letsencrypt"),
        "auto",
        "Who signs the gateway's certificate: `internal` (a CA of its own), `letsencrypt`, or `auto`: Let's Encrypt "
        "where DOMAIN is public.",
    )
    acme_email: str = knob("HOMEPORT_ACME_EMAIL", text, "", "Whom Let's Encrypt writes to before a certificate ends.")
    gateway: str = knob(
        "HOMEPORT_GATEWAY",
        choice("own", "external"),
        "own",
        "`external`: a Traefik of the site finds the services by their labels, and none is started.",
    )
    gateway_network: str = knob(
        "HOMEPORT_GATEWAY_NETWORK", text, "traefik", "The Docker network of a site's own Traefik."
    )
    listen: str = knob("HOMEPORT_LISTEN", text, "127.0.0.1", "Address on the host that the gateway listens on.")
    http_port: int = knob("HOMEPORT_HTTP_PORT", port, 80, "Port on the host for HTTP, which leads to HTTPS.")
    https_port: int = knob("HOMEPORT_HTTPS_PORT", port, 443, "Port on the host for HTTPS.")

    @property
    def basic_auth(self) -> bool:
        """Whether clients of plain processes must log in."""
        return self.auth == "basic"
