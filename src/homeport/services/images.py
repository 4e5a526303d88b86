"""The images that Compose runs, one pinned tag each; ours is made by images/homeport/Dockerfile. Names only.

A newer tag is tried by `python -m tests.e2e.images` and the end-to-end runs before it is written here.
"""

from __future__ import annotations

USER = "10001:10001"
"""uid:gid of ours, which its Dockerfile makes; numbers, so that Kubernetes can tell it is not root."""

PYTHON = "python:3.13-slim-trixie"
"""What ours is made from."""

POSTGRES = "postgres:18.6-trixie"
"""Runs as 999:999. Data: /var/lib/postgresql (PGDATA is 18/docker in it). Writes /var/run/postgresql and /tmp."""

SEAWEEDFS = "chrislusf/seaweedfs:4.48"
"""Runs as 1000:1000. Data: /data. `weed` is /usr/bin/weed; the image's entry point passes `mini …` on to it."""

TRAEFIK = "traefik:v3.7.13"
"""Runs as any user: 65532:65532. Writes nothing but what its configuration names."""

MARIADB = "mariadb:11.8.9"
"""Runs as 999:999. Data: /var/lib/mysql. Writes /run/mysqld and /tmp. Probe: `healthcheck.sh`."""

ADMINER = "adminer:5.5.1"
"""Runs as 100:101 (`adminer` in Alpine), port 8080. Writes /tmp."""

PHPMYADMIN = "phpmyadmin:5.2.3"
"""Runs as 33:33, port 80. Writes /tmp, /sessions and /var/run/apache2; wants /etc/phpmyadmin/config.secret.inc.php."""

PROMETHEUS = "prom/prometheus:v3.14.0"
"""Runs as 65534:65534, port 9090. Data: /prometheus. Configuration: /etc/prometheus/prometheus.yml."""

GRAFANA = "grafana/grafana:13.2.2"
"""Runs as 472:0, port 3000. Data: /var/lib/grafana."""
