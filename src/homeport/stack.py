"""READ FIRST: Settings -> Graph, the whole platform on one screen.

Every target (embedded processes, Compose, Kubernetes) starts from this graph. What each service is stands in
`services/`; how it is run stands in `supervisor/` and `render/`; none of them knows the other.
"""

from __future__ import annotations

from homeport.model.graph import Graph, Node
from homeport.model.service import Service, Target
from homeport.services import observability
from homeport.services.database import MARIADB, database
from homeport.services.dbadmin import dbadmin
from homeport.services.gateway import gateway, gateway_init
from homeport.services.loadtest import loadtest
from homeport.services.objectstore import is_s3, objectstore, objectstore_init
from homeport.services.serving import serving, serving_migrate
from homeport.services.sizing import Sizing, sizing, this_machine
from homeport.services.tracking import tracking, tracking_migrate
from homeport.services.training import training
from homeport.settings import Settings

#   database ──healthy──► tracking-migrate ──completed──┐
#   objectstore ─healthy─► objectstore-init ─completed──┴─► tracking ─healthy─► serving
#   in containers also:  gateway-init ─completed─► gateway ◄─healthy─ tracking, serving
#   and on demand:       training · loadtest · dbadmin · prometheus, grafana

# A rendered file is for machines that are not known yet; MLflow does all the work where the database is MariaDB.
_CONTAINERS, _WITH_MARIADB = Sizing(workers=1, serving=1), Sizing(workers=2, serving=1)


def build(settings: Settings, size: Sizing | None = None, target: Target = Target.EMBEDDED) -> Graph:
    """The platform's graph. Services that the settings point elsewhere are left out.

    Raises:
        HomeportError: when a setting names a program that is not there, or the graph is not valid.
    """
    if size is None and target is Target.CONTAINERS:
        size = _WITH_MARIADB if settings.database_engine == MARIADB else _CONTAINERS
    size = size or sizing(settings.workers, *this_machine(), settings.serving_workers, fast=settings.fast_lane)
    nodes: list[Node] = []
    if settings.embedded_database:
        nodes.append(database(settings, size, target))
    if settings.embedded_objectstore:
        nodes.append(objectstore(settings, target))
    if is_s3(settings):
        nodes.append(objectstore_init(settings))
    nodes.append(tracking_migrate(settings, target))
    nodes.append(tracking(settings, size, target))
    if settings.keeps_predictions:
        nodes.append(serving_migrate(settings))
    if settings.serves:
        nodes.append(serving(settings, size, target))
    if target is Target.CONTAINERS:
        nodes += _only_in_containers(settings, nodes)
    return Graph("homeport", nodes)


def _only_in_containers(settings: Settings, nodes: list[Node]) -> list[Node]:
    """The gateway in front of what is there, and what is started on demand only."""
    metrics: list[Node] = [observability.prometheus(settings), observability.grafana(settings)]
    more: list[Node] = [training(settings), loadtest(settings), dbadmin(settings), *metrics]
    if settings.gateway == "own":
        routed = [n for n in (*nodes, *more) if isinstance(n, Service) and n.container.route]
        routes = {n.container.route: f"{n.name}:{n.ports[0].number}" for n in routed}
        always = [n.name for n in routed if not n.container.profile]
        more = [gateway_init(settings, routes), gateway(settings, always), *more]
    return more
