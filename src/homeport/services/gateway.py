"""`gateway` and its job `gateway-init`: TLS and host names, the only published ports. Only says what runs.

Traefik reads files, never the Docker socket: whoever breaks into what the world reaches must not own the machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from homeport.model.service import (
    COMPLETED,
    HEALTHY,
    Condition,
    Container,
    ExecProbe,
    Job,
    Port,
    Probe,
    Publish,
    Service,
    Volume,
)
from homeport.model.values import Path, Setting, Template, Value
from homeport.services import images
from homeport.settings import Settings

NAME = "gateway"
INIT = "gateway-init"
_VOLUME = Volume("gateway", "/var/lib/homeport/gateway")
_HTTP, _HTTPS, _INTERNAL = Port("http", 8080), Port("https", 8443), Port("internal", 8082)
_SLOWEST = "3600s"  # a request body: models of several GiB on a slow line


def gateway_init(settings: Settings, routes: Mapping[str, str]) -> Job:
    """The job that writes the gateway's configuration, and a certificate of a CA of its own where none can be had.

    Args:
        settings: the platform's.
        routes: subdomain -> service, as `mlflow` -> `tracking:5000`.
    """
    return Job(
        name=INIT,
        title="certificates and routes",
        command=("python", "-m", "homeport.gateway"),
        owner=NAME,
        env={
            "DOMAIN": settings.value("domain"),
            "HOMEPORT_TLS": settings.value("tls"),
            # What is off is not reached from outside either.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": settings.value("jobs"),
            "MLFLOW_ENABLE_AI_GATEWAY": settings.value("ai_gateway"),
            "HOMEPORT_GATEWAY_DIRECTORY": Path(_VOLUME.name),
            "HOMEPORT_ROUTES": ",".join(f"{name}={address}" for name, address in routes.items()),
        },
        volumes=(_VOLUME,),
        timeout=60.0,
        container=Container(memory="128m", pids=32),
    )


def gateway(settings: Settings, behind: Iterable[str]) -> Service:
    """Traefik: HTTP leads to HTTPS, host names lead to services.

    Args:
        settings: the platform's.
        behind: services that must be healthy before anybody is let in.
    """
    needs: dict[str, Condition] = {INIT: COMPLETED} | dict.fromkeys(behind, HEALTHY)
    public = settings.value("https_port")
    internal = f"--entrypoints.internal.address=:{_INTERNAL.number}"
    acme = "--certificatesresolvers.letsencrypt.acme"
    return Service(
        name=NAME,
        title="TLS gateway",
        command=(
            "traefik",
            "--global.sendanonymoususage=false",
            "--global.checknewversion=false",
            Template("--providers.file.directory={place}", place=Path(_VOLUME.name, "routes")),
            f"--entrypoints.web.address=:{_HTTP.number}",
            Template("--entrypoints.web.http.redirections.entrypoint.to=:{port}", port=public),
            "--entrypoints.web.http.redirections.entrypoint.scheme=https",
            f"--entrypoints.websecure.address=:{_HTTPS.number}",
            f"--entrypoints.websecure.transport.respondingtimeouts.readtimeout={_SLOWEST}",
            "--entrypoints.websecure.transport.lifecycle.requestacceptgracetimeout=1s",
            "--entrypoints.websecure.transport.lifecycle.gracetimeout=10s",
            internal,
            "--ping.entrypoint=internal",
            "--metrics.prometheus.entrypoint=internal",
            "--metrics.prometheus.buckets=0.005,0.025,0.1,0.5,2.5,10,60",
            "--log.format=json",
            "--accesslog.format=json",
            Template(f"{acme}.email={{email}}", email=settings.value("acme_email")),
            Template(f"{acme}.storage={{place}}", place=Path(_VOLUME.name, "acme.json")),
            f"{acme}.httpchallenge.entrypoint=web",
        ),
        needs=needs,
        probe=Probe(ExecProbe(("traefik", "healthcheck", internal, "--ping.entrypoint=internal"))),
        ports=(_HTTP, _HTTPS, _INTERNAL),
        volumes=(_VOLUME,),
        stop_timeout=15.0,
        container=Container(
            image=images.TRAEFIK,
            user=images.USER,  # so that the job and it share the volume
            networks=("edge", "backend"),
            memory="256m",
            publish=(
                Publish("http", settings.value("listen"), settings.value("http_port")),
                Publish("https", settings.value("listen"), public),
            ),
        ),
    )


def labels(settings: Settings, service: str, subdomain: str, port: int) -> dict[str, Value]:
    """What a site's own Traefik reads on a service: its host, its port, its network."""
    router, balancer = f"traefik.http.routers.{service}", f"traefik.http.services.{service}"
    host = Template(f"Host(`{subdomain}.{{domain}}`)", domain=settings.value("domain"))
    resolver = Setting("HOMEPORT_GATEWAY_RESOLVER", "letsencrypt", "letsencrypt")
    return {
        # With a gateway of our own a site's Traefik on the same machine must not offer what it cannot reach.
        "traefik.enable": "true" if settings.gateway == "external" else "false",
        "traefik.docker.network": settings.value("gateway_network"),
        f"{router}.rule": host,
        f"{router}.entrypoints": Setting("HOMEPORT_GATEWAY_ENTRYPOINT", "websecure", "websecure"),
        f"{router}.tls.certresolver": resolver,
        f"{balancer}.loadbalancer.server.port": str(port),
    }
