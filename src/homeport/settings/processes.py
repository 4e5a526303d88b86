"""Where the platform is, which ports and processes it has, and how long it may take to start.

Refuses to know what the values are used for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from homeport.knobs import choice, knob, number, path, port, real

DEFAULT_HOME_NAME = "homeport"


def default_home() -> Path:
    """The user data directory (XDG_DATA_HOME/homeport on Linux)."""
    from platformdirs import user_data_path

    return user_data_path(DEFAULT_HOME_NAME, appauthor=False)


def default_cache() -> Path:
    """The user cache directory (XDG_CACHE_HOME/homeport on Linux)."""
    from platformdirs import user_cache_path

    return user_cache_path(DEFAULT_HOME_NAME, appauthor=False)


@dataclass(frozen=True)
class Processes:
    """The platform's place, ports and processes."""

    home: Path = knob(
        "HOMEPORT_HOME", path, default_home, "Where data, logs and secrets are kept.", shown="user data directory"
    )
    cache: Path = knob(
        "HOMEPORT_CACHE", path, default_cache, "Where downloaded data sets are kept.", shown="user cache directory"
    )
    target: str = knob(
        "HOMEPORT_TARGET",
        choice("embedded", "compose"),
        "embedded",
        "Where the platform runs: `embedded` (plain processes on this machine) or `compose` (containers).",
    )
    tracking_port: int = knob(
        "HOMEPORT_TRACKING_PORT", port, 5000, "Port of the tracking server on 127.0.0.1; 0: any free port."
    )
    database_port: int = knob(
        "HOMEPORT_DATABASE_PORT", port, 0, "Port of the embedded PostgreSQL on 127.0.0.1; 0: any free port."
    )
    objectstore_port: int = knob(
        "HOMEPORT_OBJECTSTORE_PORT", port, 0, "Port of the embedded object store on 127.0.0.1; 0: any free port."
    )
    workers: int = knob(
        "HOMEPORT_WORKERS",
        number(0, 64),
        0,
        "MLflow processes behind the tracking server's front; 0: one with the fast lane, else by cores and memory.",
    )
    fastlane: str = knob(
        "HOMEPORT_FASTLANE",
        choice("auto", "off"),
        "auto",
        "`auto`: hot calls are answered on PostgreSQL directly where that is known to be exact; `off`: all by MLflow.",
    )
    slow_seconds: float = knob(
        "HOMEPORT_SLOW_SECONDS",
        real(0, 3600),
        1.0,
        "Requests to the tracking server that take longer are written to its log; 0: none.",
    )
    start_timeout: int = knob(
        "HOMEPORT_START_TIMEOUT", number(1, 3600), 120, "Seconds within which each service must be ready."
    )

    @property
    def patience(self) -> int:
        """Seconds a job waits for what it needs elsewhere: long enough to start, short enough to say why in time."""
        return max(1, min(60, self.start_timeout // 2))
