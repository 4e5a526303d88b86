"""What a load test is to do, said by variables, so that every process of it has the same. Refuses to know Locust."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Self

from homeport.errors import ExitCode, HomeportError

USERS = ("writer", "reader", "predictor", "artifacts")
SHARES = MappingProxyType({"writer": 4, "reader": 2, "predictor": 8, "artifacts": 1})
PREFIX = "HOMEPORT_LOAD_"


@dataclass(frozen=True)
class Plan:
    """One load test.

    Args:
        tracking: URL of the tracking server.
        login: user and password there; None without logins.
        serving: URL of the serving API; empty: nobody asks for predictions.
        key: of the serving API; empty without.
        certificate: file of the authority that signed the servers' certificates; empty: the system's.
        shares: how many of each kind of user, relative to each other.
        pause: seconds between two requests of one user.
        artifact_bytes: size of an artifact.
        experiment: name of the experiment that all runs go to.
        model: name of the model that is asked; empty: the platform's wine-quality, else the first one served.
        rows: CSV file of rows to predict; None: drawn around the model's input example.
        result: where Locust's master leaves what was measured; None: nowhere.
    """

    tracking: str
    login: tuple[str, str] | None
    serving: str
    key: str
    certificate: str
    shares: Mapping[str, int]
    pause: float
    artifact_bytes: int
    experiment: str
    model: str
    rows: Path | None
    result: Path | None

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """The plan that stands in the environment.

        Raises:
            HomeportError: LOADTEST_NO_PLATFORM or LOADTEST_OPTION.
        """
        tracking = environ.get("MLFLOW_TRACKING_URI", "").rstrip("/")
        if not tracking.startswith(("http://", "https://")):
            raise HomeportError(
                code="LOADTEST_NO_PLATFORM",
                what="the load test was not told which platform to load",
                evidence=(("MLFLOW_TRACKING_URI", tracking or "(not set)"),),
                fix="homeport run -- python -m loadtest, or set MLFLOW_TRACKING_URI to an http address",
                exit_code=ExitCode.USAGE,
            )

        def said(name: str, default: str = "") -> str:
            return environ.get(PREFIX + name) or default

        user, password = environ.get("MLFLOW_TRACKING_USERNAME"), environ.get("MLFLOW_TRACKING_PASSWORD")
        return cls(
            tracking=tracking,
            login=(user, password) if user and password else None,
            serving=environ.get("HOMEPORT_SERVING_URL", "").rstrip("/"),
            # While one key follows another there are several; any of them is good.
            key=environ.get("HOMEPORT_SERVING_KEY", "").split(",")[0].strip(),
            certificate=environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH", ""),
            shares=shares(said("SHARES")),
            pause=number("PAUSE", said("PAUSE", "0.1")),
            artifact_bytes=int(number("ARTIFACT_MB", said("ARTIFACT_MB", "4")) * 2**20),
            experiment=said("EXPERIMENT", "loadtest"),
            model=said("MODEL"),
            rows=Path(said("ROWS")) if said("ROWS") else None,
            result=Path(said("RESULT")) if said("RESULT") else None,
        )

    def wants(self, user: str) -> bool:
        """Whether there are users of that kind at all."""
        return self.shares.get(user, 0) > 0 and bool(user != "predictor" or self.serving)


def shares(text: str) -> dict[str, int]:
    """`writer=4,reader=1` as numbers; who is not named is not there. Empty: the default.

    Raises:
        HomeportError: LOADTEST_OPTION.
    """
    if not text.strip():
        return dict(SHARES)
    found = {}
    for part in text.replace(",", " ").split():
        user, _, count = part.partition("=")
        if user not in USERS or not count.isdecimal():
            raise _wrong("SHARES", text, f"name users out of {', '.join(USERS)}: writer=4,reader=1")
        found[user] = int(count)
    if not sum(found.values()):
        raise _wrong("SHARES", text, "let there be at least one user")
    return found


def number(name: str, text: str) -> float:
    """A number that is not negative.

    Raises:
        HomeportError: LOADTEST_OPTION.
    """
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise _wrong(name, text, "write a number from 0 on")
    return value


def _wrong(name: str, text: str, fix: str) -> HomeportError:
    return HomeportError(
        code="LOADTEST_OPTION",
        what=f"{PREFIX}{name} cannot be {text!r}",
        fix=fix,
        exit_code=ExitCode.USAGE,
    )
