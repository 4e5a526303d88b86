"""What the serving program needs to know, read from the environment once. Refuses to know who set it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from homeport.errors import ExitCode, HomeportError
from homeport.exposure import Authentication, authentication
from homeport.program import number, setting
from homeport.serving import keys
from homeport.serving.follow.references import Reference
from homeport.serving.follow.references import parse as parse_references
from homeport.serving.traffic import Rule
from homeport.serving.traffic import parse as parse_traffic

MIB = 2**20
T = TypeVar("T")
_ACCESS = ("off", "errors", "all")


@dataclass(frozen=True)
class ServingConfig:
    """One serving program's configuration. Sizes in bytes, times in seconds.

    Args:
        host: where to listen.
        port: where to listen.
        workers: processes.
        tracking_uri: the tracking server, which is also the registry and the way to the artifacts.
        references: what is served, those of the traffic rules included.
        rules: traffic rules by registered model.
        cache: directory of downloaded model versions.
        cache_limit: most it may hold.
        poll: pause between two looks at the registry.
        timeout: longest wait for an answer, in the queue and in the model together.
        max_body: largest request body.
        concurrency: predictions of one model at a time in one worker.
        queue: requests of one model that may wait in one worker.
        strict: refuse lossy casts in every request.
        access_log: "off", "errors" or "all".
        webhook_secret: shared with MLflow's webhook; empty: webhooks are refused.
        prediction_log: fraction of the predictions that are kept, 0 for none.
        prediction_uri: the database they are kept in.
        prediction_days: how long they are kept.
        environments: directory of Python environments for isolated models; None without one.
        keys: of which a request must say one; none where nobody is asked.
        shared: the directory in which all keep artifacts themselves; None where they go through the tracking server.
        one_of_many: others answer meanwhile, so that this one is ready only once it can answer as they do.
    """

    host: str
    port: int
    workers: int
    tracking_uri: str
    references: tuple[Reference, ...]
    rules: Mapping[str, Rule] = field(default_factory=dict)
    cache: Path = Path("serving")
    cache_limit: int = 10240 * MIB
    poll: float = 3.0
    timeout: float = 60.0
    max_body: int = 100 * MIB
    concurrency: int = 2
    queue: int = 64
    strict: bool = False
    access_log: str = "errors"
    webhook_secret: str = field(default="", repr=False)
    prediction_log: float = 0.0
    prediction_uri: str = field(default="", repr=False)
    prediction_days: int = 90
    environments: Path | None = None
    keys: tuple[str, ...] = field(default=(), repr=False)
    shared: Path | None = None
    one_of_many: bool = False

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> ServingConfig:
        """Read it.

        Raises:
            HomeportError: SETTING_MISSING or SETTING_INVALID, naming the variable.
        """
        env = os.environ if environ is None else environ
        rules = _parsed("HOMEPORT_SERVE_TRAFFIC", env, parse_traffic)
        references = _parsed("HOMEPORT_SERVE", env, parse_references, "*@champion")
        environments, shared = env.get("HOMEPORT_SERVING_ENVS", ""), env.get("HOMEPORT_SHARED_ARTIFACTS", "")
        return cls(
            host=setting("HOMEPORT_LISTEN_HOST", "127.0.0.1", env),
            port=int(_number("HOMEPORT_LISTEN_PORT", env, 5002, high=65535)),
            workers=int(_number("HOMEPORT_WORKERS", env, 1, low=1, high=64)),
            tracking_uri=setting("MLFLOW_TRACKING_URI", None, env).rstrip("/"),
            references=tuple(dict.fromkeys([*references, *_of_rules(rules)])),
            rules=rules,
            cache=Path(setting("HOMEPORT_SERVING_CACHE", "serving-cache", env)).absolute(),
            cache_limit=int(_number("HOMEPORT_SERVING_CACHE_MIB", env, 10240, low=1, high=1e9)) * MIB,
            poll=_number("HOMEPORT_SERVING_POLL", env, 3, low=0.2, high=3600),
            timeout=_number("HOMEPORT_SERVING_TIMEOUT", env, 60, low=0.1),
            max_body=int(_number("HOMEPORT_SERVING_MAX_BODY_MIB", env, 100, low=1, high=1e6)) * MIB,
            concurrency=int(_number("HOMEPORT_SERVING_CONCURRENCY", env, 0, high=256)) or _cores(),
            queue=int(_number("HOMEPORT_SERVING_QUEUE", env, 64, high=100_000)),
            strict=env.get("HOMEPORT_SERVING_STRICT", "").lower() == "true",
            access_log=_access(env),
            webhook_secret=env.get("HOMEPORT_WEBHOOK_SECRET", ""),
            prediction_log=_number("HOMEPORT_PREDICTION_LOG", env, 0, high=1),
            prediction_uri=env.get("HOMEPORT_PREDICTION_DATABASE_URI", ""),
            prediction_days=int(_number("HOMEPORT_PREDICTION_KEEP_DAYS", env, 90, low=1, high=36500)),
            environments=Path(environments) if environments else None,
            keys=_keys(env),
            shared=Path(shared) if shared else None,
            one_of_many=env.get("HOMEPORT_SERVING_ONE_OF_MANY", "").lower() == "true",
        )

    @property
    def log_on(self) -> bool:
        """Whether predictions are kept at all."""
        return self.prediction_log > 0 and bool(self.prediction_uri)


def _keys(env: Mapping[str, str]) -> tuple[str, ...]:
    """The keys, unless all asking was switched off."""
    found = keys.parse(env.get("HOMEPORT_SERVING_KEY", ""))
    return () if authentication(env) is Authentication.OFF else found


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _number(name: str, env: Mapping[str, str], default: float, *, low: float = 0, high: float = 86400) -> float:
    return number(name, default, low=low, high=high, environ=env)


def _parsed(name: str, env: Mapping[str, str], parse: Callable[[str], T], default: str = "") -> T:
    text = env.get(name, "") or default
    try:
        return parse(text)
    except ValueError as error:
        raise HomeportError(
            code="SETTING_INVALID",
            what=f"{name} {error}",
            evidence=(("found", text),),
            fix=f"mend {name}; docs/how-to/serve-models.md has examples",
            exit_code=ExitCode.USAGE,
        ) from error


def _of_rules(rules: Mapping[str, Rule]) -> list[Reference]:
    return [Reference(rule.name, alias, None) for rule in rules.values() for alias in rule.aliases]


def _access(env: Mapping[str, str]) -> str:
    value = env.get("HOMEPORT_SERVING_ACCESS_LOG", "") or "errors"
    if not re.fullmatch("|".join(_ACCESS), value):
        raise HomeportError(
            code="SETTING_INVALID",
            what="HOMEPORT_SERVING_ACCESS_LOG is not usable",
            evidence=(("needed", " or ".join(_ACCESS)), ("found", value)),
            fix="set it to: errors",
            exit_code=ExitCode.USAGE,
        )
    return value
