"""`dbadmin`: a web page for the database, on demand: Adminer, or phpMyAdmin for MariaDB. Only says what runs."""

from __future__ import annotations

from homeport.model.service import HEALTHY, Container, ExecProbe, File, Port, Probe, Service
from homeport.model.values import Secret, SecretFile, Value
from homeport.services import database, images
from homeport.settings import Settings

NAME = "dbadmin"
KEY = Secret("dbadmin-key")
_KEY_FILE = File("images/phpmyadmin/config.secret.inc.php", "/etc/phpmyadmin/config.secret.inc.php")


def dbadmin(settings: Settings) -> Service:
    """The page; it asks for the user and password of a database and keeps neither."""
    maria = settings.database_engine == database.MARIADB
    port = Port("main", 80 if maria else 8080)
    return Service(
        name=NAME,
        title="phpMyAdmin" if maria else "Adminer",
        command=(),
        env=_env(settings, maria=maria),
        needs={database.NAME: HEALTHY} if settings.embedded_database else {},
        # PHP is what both images have.
        probe=Probe(ExecProbe(("php", "-r", f"exit(@fsockopen('127.0.0.1', {port.number}) ? 0 : 1);"))),
        ports=(port,),
        container=Container(
            image=images.PHPMYADMIN if maria else images.ADMINER,
            user="33:33" if maria else "100:101",
            networks=("backend", "data"),
            tmpfs=("/tmp", "/sessions", "/var/run/apache2") if maria else ("/tmp",),  # noqa: S108 - in a container
            memory="256m",
            # The image would write this file itself, into a root that is read-only.
            files=(_KEY_FILE,) if maria else (),
            route="db",
            profile="admin",
        ),
    )


def _env(settings: Settings, *, maria: bool) -> dict[str, Value]:
    if maria:
        return {"PMA_HOST": database.NAME, "HOMEPORT_COOKIE_KEY_FILE": SecretFile(KEY)}
    return {"ADMINER_DEFAULT_SERVER": database.NAME if settings.embedded_database else ""}
