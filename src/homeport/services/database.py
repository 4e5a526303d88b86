"""`database`: PostgreSQL for runs, metrics, params and the registry, or a database elsewhere. Only says what runs."""

from __future__ import annotations

from homeport.database.binaries import find_binaries
from homeport.model.service import ExecProbe, Port, Probe, Service, Volume
from homeport.model.values import Bind, Part, Path, Ref, Secret, SecretFile, Template, Value
from homeport.services.sizing import Sizing
from homeport.settings import Settings

NAME = "database"
PORT = Port("main", 5432)


def password(settings: Settings) -> Secret:
    """The database user's password: the one that was set, or one made and kept."""
    return Secret("database-password", given=settings.postgres_password or None)


def backend_store_uri(settings: Settings) -> Value:
    """The URI MLflow is given: of the embedded database, or the user's with the driver MLflow is tested with."""
    if not settings.embedded_database:
        # A secret as a whole: it holds a password, and what resolves it must not show it.
        return Secret("backend-store-uri", given=_with_driver(settings.backend_store_uri))
    return Template(
        "postgresql+psycopg2://{user}:{password}@{address}/{db}",
        quote=True,
        user=settings.postgres_user,
        password=password(settings),
        address=Ref(NAME),
        db=settings.postgres_db,
    )


def database(settings: Settings, sizing: Sizing) -> Service:
    """The embedded PostgreSQL: initialised when its volume is empty, then the server itself."""
    port = Port(PORT.name, PORT.number, settings.database_port or None, "HOMEPORT_DATABASE_PORT")
    host, number = Bind(part=Part.HOST), Bind(part=Part.PORT)
    pg_isready = find_binaries(settings.postgres_bin or None) / "pg_isready"
    return Service(
        name=NAME,
        title="PostgreSQL",
        command=("python", "-m", "homeport.database"),
        env={
            "HOMEPORT_DATA": Path("database"),
            "HOMEPORT_LISTEN_HOST": host,
            "HOMEPORT_LISTEN_PORT": number,
            "HOMEPORT_POSTGRES_BIN": settings.postgres_bin,
            "HOMEPORT_MAX_CONNECTIONS": str(sizing.max_connections),
            "POSTGRES_USER": settings.postgres_user,
            "POSTGRES_DB": settings.postgres_db,
            "POSTGRES_PASSWORD_FILE": SecretFile(password(settings)),
        },
        # An open port is not enough: PostgreSQL accepts connections while it still recovers, and refuses every one.
        probe=Probe(ExecProbe((str(pg_isready), "-q", "-h", host, "-p", number, "-t", "3")), start_interval=0.05),
        ports=(port,),
        volumes=(Volume("database", "/var/lib/postgresql"),),
        stop_signal="SIGINT",  # fast shutdown: sessions are cut, the log is closed cleanly
        stop_timeout=30.0,
    )


def _with_driver(uri: str) -> str:
    scheme, _, rest = uri.partition("://")
    # SQLAlchemy 2.1 took psycopg 3 as its default; MLflow 3.17 relies on psycopg2's untyped parameters.
    drivers = {
        "postgres": "postgresql+psycopg2",
        "postgresql": "postgresql+psycopg2",
        "mysql": "mysql+pymysql",
        "mariadb": "mysql+pymysql",
    }
    return f"{drivers.get(scheme, scheme)}://{rest}"
