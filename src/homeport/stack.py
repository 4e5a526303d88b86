"""READ FIRST: Settings -> Graph, the whole platform on one screen.

Every target (embedded processes, Compose, Kubernetes) starts from this graph. What each service is stands in
`services/`; how it is run stands in `supervisor/`; neither knows the other.
"""

from __future__ import annotations

from homeport.model.graph import Graph, Node
from homeport.services.database import database
from homeport.services.objectstore import is_s3, objectstore, objectstore_init
from homeport.services.serving import serving, serving_migrate
from homeport.services.sizing import Sizing, sizing, this_machine
from homeport.services.tracking import tracking, tracking_migrate
from homeport.settings import Settings

#   database ──healthy──► tracking-migrate ──completed──┐
#   objectstore ─healthy─► objectstore-init ─completed──┴─► tracking ─healthy─► serving


def build(settings: Settings, size: Sizing | None = None) -> Graph:
    """The platform's graph. Services that the settings point elsewhere are left out.

    Raises:
        HomeportError: when a setting names a program that is not there, or the graph is not valid.
    """
    size = size or sizing(settings.workers, *this_machine(), settings.serving_workers)
    nodes: list[Node] = []
    if settings.embedded_database:
        nodes.append(database(settings, size))
    if settings.embedded_objectstore:
        nodes.append(objectstore(settings))
    if is_s3(settings):
        nodes.append(objectstore_init(settings))
    nodes.append(tracking_migrate(settings))
    nodes.append(tracking(settings, size))
    if settings.keeps_predictions:
        nodes.append(serving_migrate(settings))
    if settings.serves:
        nodes.append(serving(settings, size))
    return Graph("homeport", nodes)
