"""`prometheus` and `grafana`, on demand: what the platform measures of itself, kept and drawn. Only says what runs."""

from __future__ import annotations

from homeport.model.service import HEALTHY, Container, ExecProbe, File, Port, Probe, Service, Volume
from homeport.model.values import Secret, SecretFile, Template
from homeport.services import accounts, images
from homeport.settings import Settings

PROMETHEUS, GRAFANA = "prometheus", "grafana"
GRAFANA_PASSWORD = Secret("grafana-password")
_PROFILE = "observability"


def prometheus(settings: Settings) -> Service:
    """Asks every part for its counters; the serving API asks for its key, the tracking server for a login."""
    return Service(
        name=PROMETHEUS,
        title="metrics",
        command=(
            "/bin/prometheus",
            "--config.file=/etc/prometheus/prometheus.yml",
            "--storage.tsdb.path=/prometheus",
            "--storage.tsdb.retention.time=30d",
        ),
        env={
            "SERVING_KEY_FILE": SecretFile(accounts.serving_key(settings)),
            "TRACKING_PASSWORD_FILE": SecretFile(accounts.SERVING_PASSWORD),
        },
        probe=Probe(ExecProbe(("wget", "-q", "-O", "/dev/null", "http://127.0.0.1:9090/-/ready"))),
        ports=(Port("main", 9090),),
        volumes=(Volume("prometheus", "/prometheus"),),
        container=Container(
            image=images.PROMETHEUS,
            entrypoint=("",),
            user="65534:65534",
            memory="512m",
            profile=_PROFILE,
            files=(
                File("observability/prometheus.yml", "/etc/prometheus/prometheus.yml"),
                File("observability/rules.yml", "/etc/prometheus/rules.yml"),
            ),
        ),
    )


def grafana(settings: Settings) -> Service:
    """One dashboard over Prometheus, at grafana.DOMAIN; its administrator is `admin`."""
    return Service(
        name=GRAFANA,
        title="dashboard",
        command=(),
        env={
            "GF_SECURITY_ADMIN_PASSWORD__FILE": SecretFile(GRAFANA_PASSWORD),
            "GF_SERVER_ROOT_URL": Template("https://grafana.{domain}", domain=settings.value("domain")),
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
            "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
            "GF_PLUGINS_PREINSTALL_DISABLED": "true",
        },
        needs={PROMETHEUS: HEALTHY},
        probe=Probe(ExecProbe(("wget", "-q", "-O", "/dev/null", "http://127.0.0.1:3000/api/health"))),
        ports=(Port("main", 3000),),
        volumes=(Volume("grafana", "/var/lib/grafana"),),
        container=Container(
            image=images.GRAFANA,
            user="472:0",
            memory="512m",
            route="grafana",
            profile=_PROFILE,
            files=(
                File("observability/grafana/datasource.yaml", "/etc/grafana/provisioning/datasources/homeport.yaml"),
                File("observability/grafana/dashboards.yaml", "/etc/grafana/provisioning/dashboards/homeport.yaml"),
                File("observability/grafana/homeport.json", "/var/lib/grafana-dashboards/homeport.json"),
            ),
        ),
    )
