"""What the serving API serves, within which limits, and what it keeps of its predictions.

Refuses to know what the values are used for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from homeport.knobs import choice, flag, fraction, knob, number, port, secret, text, uri
from homeport.serving.follow import references
from homeport.serving.traffic import parse as parse_traffic

NOTHING_SERVED = "none"


def _served(raw: object) -> str:
    """References to registered models, or `none`."""
    value = text(raw)
    if value.lower() != NOTHING_SERVED:
        references.parse(value)
    return value


def _traffic(raw: object) -> str:
    """Traffic rules."""
    value = str(raw).strip()
    parse_traffic(value)
    return value


@dataclass(frozen=True)
class Serving:
    """The serving API and its prediction log."""

    serve: str = knob(
        "HOMEPORT_SERVE",
        _served,
        "*@champion",
        "What is served: `name@alias`, `name/version`, `*@alias` (every model with the alias), separated by commas; "
        "`none`: no `serving` service.",
    )
    serve_traffic: str = knob(
        "HOMEPORT_SERVE_TRAFFIC",
        _traffic,
        "",
        "Canary and shadow rules: `wine-quality: champion 90, challenger 10; penguins: champion 100, shadow next`.",
    )
    serving_port: int = knob(
        "HOMEPORT_SERVING_PORT", port, 5002, "Port of the serving API on 127.0.0.1; 0: any free port."
    )
    serving_workers: int = knob(
        "HOMEPORT_SERVING_WORKERS", number(0, 64), 0, "Serving processes; 0: by cores and memory."
    )
    serving_poll: int = knob(
        "HOMEPORT_SERVING_POLL", number(1, 3600), 3, "Seconds between two looks at the registry, in each worker."
    )
    serving_timeout: int = knob(
        "HOMEPORT_SERVING_TIMEOUT", number(1, 86400), 60, "Seconds after which a prediction is given up (504)."
    )
    serving_concurrency: int = knob(
        "HOMEPORT_SERVING_CONCURRENCY",
        number(0, 256),
        0,
        "Predictions of one model at a time in one worker, for models too slow for the event loop; 0: by cores.",
    )
    serving_queue: int = knob(
        "HOMEPORT_SERVING_QUEUE",
        number(0, 100_000),
        64,
        "Requests of one model that may wait in one worker; more are refused (429).",
    )
    serving_max_body_mib: int = knob(
        "HOMEPORT_SERVING_MAX_BODY_MIB", number(1, 1_000_000), 100, "Largest request body in MiB (413)."
    )
    serving_cache_mib: int = knob(
        "HOMEPORT_SERVING_CACHE_MIB", number(1, 10**9), 10240, "Most MiB of downloaded models that are kept."
    )
    serving_strict: bool = knob(
        "HOMEPORT_SERVING_STRICT",
        flag,
        False,
        "Refuse input that would lose information in a cast, in every request; else only with `?strict=true`.",
    )
    serving_access_log: str = knob(
        "HOMEPORT_SERVING_ACCESS_LOG",
        choice("off", "errors", "all"),
        "errors",
        "Which answers get a line (JSON) in the serving log.",
    )
    serving_envs: str = knob(
        "HOMEPORT_SERVING_ENVS",
        text,
        "",
        "Directory with Python environments for models that run in a process of their own: `NAME/bin/python`.",
    )
    webhook_secret: str = knob(
        "HOMEPORT_WEBHOOK_SECRET",
        secret,
        "",
        "What MLflow's webhook signs with; empty: generated and kept in secrets/.",
    )
    prediction_log: float = knob(
        "HOMEPORT_PREDICTION_LOG", fraction, 0.0, "Fraction of the predictions that are kept for training; 0: none."
    )
    prediction_database_uri: str = knob(
        "HOMEPORT_PREDICTION_DATABASE_URI",
        uri("postgresql", "postgres"),
        "",
        "A PostgreSQL elsewhere for the kept predictions; empty: a database `homeport` in the embedded one.",
        holds_secret=True,
    )
    prediction_keep_days: int = knob(
        "HOMEPORT_PREDICTION_KEEP_DAYS", number(1, 36500), 90, "Days after which kept predictions are deleted."
    )

    @cached_property
    def serves(self) -> bool:
        """Whether there is a serving API at all."""
        return self.serve.lower() != NOTHING_SERVED

    @cached_property
    def keeps_predictions(self) -> bool:
        """Whether predictions are kept, and so need a database of their own."""
        return self.serves and self.prediction_log > 0
