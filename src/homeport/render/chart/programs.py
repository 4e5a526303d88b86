"""The values of what runs: tracking, serving, their jobs, training, the load test. Only says which there are."""

from __future__ import annotations

from typing import Any

from homeport.render.chart import kubernetes as k
from homeport.render.chart.value import FLAG, TEXT, Group, Schema, Value, said, setting

_SPAN: Schema = {"type": "string", "pattern": "^([0-9]+h)?([0-9]+m)?([0-9]+s)?$", "minLength": 2}
_URL: Schema = {"type": "string", "pattern": "^(https?://.+)?$"}
_COMMAND: Schema = {"type": "array", "items": TEXT, "minItems": 1}
_UNQUOTED = "In quotes, since YAML reads a bare off as false."

TRACKING = Group(
    "tracking",
    (
        k.replicas(first=True),
        setting(
            "workers",
            "workers",
            "MLflow processes behind each front; 0: one with the fast lane, two without.",
            said=True,
        ),
        said(
            "threads",
            24,
            k.whole(1, 256),
            "Requests that each MLflow process works on at a time. Its connections to the database follow from it: "
            "4 each, and 14.",
        ),
        setting("fastlane", "fastlane", f'auto, or "off": all calls are answered by MLflow. {_UNQUOTED}', said=True),
        setting("slowSeconds", "slow_seconds"),
        setting("jobs", "jobs", "MLflow's background job runner; several replicas need a Redis for it.", said=True),
        setting("aiGateway", "ai_gateway", "MLflow's AI gateway."),
        said(
            "allowedHosts",
            [],
            k.WORDS,
            "Further names by which clients call the server (MLFLOW_SERVER_ALLOWED_HOSTS).",
        ),
        k.resources("500m", "768Mi", "2Gi"),
        k.autoscaling(10, first=True),
        k.disruption(first=True),
        k.service(5000),
        *k.ending(30, first=True),
        *k.extras(),
        *k.marks(),
        *k.spread(),
    ),
)
SERVING = Group(
    "serving",
    (
        Value("enabled", True, FLAG, "Whether there is a serving API at all."),
        k.replicas(first=False),
        setting(
            "workers",
            "serving_workers",
            "Processes in each pod. More replicas or more workers: a pod loads each model once a worker.",
            default=1,
            said=True,
            least=1,
        ),
        setting(
            "models",
            "serve",
            "name@alias, name/version, *@alias (every model with the alias), separated by commas.",
            said=True,
        ),
        setting(
            "traffic",
            "serve_traffic",
            "Canary and shadow rules: `wine-quality: champion 90, challenger 10`.",
            said=True,
        ),
        setting("poll", "serving_poll"),
        setting("timeout", "serving_timeout"),
        setting("concurrency", "serving_concurrency"),
        setting("queue", "serving_queue"),
        setting("maxBodyMib", "serving_max_body_mib"),
        setting("cacheMib", "serving_cache_mib"),
        setting("strict", "serving_strict"),
        setting(
            "accessLog",
            "serving_access_log",
            f'Which answers get a line (JSON) in the log: errors, all or "off". {_UNQUOTED}',
            said=True,
        ),
        setting(
            "envs",
            "serving_envs",
            "Directory with Python environments for models that run in a process of their own: `NAME/bin/python`; "
            "mounted by extraVolumes.",
        ),
        Group(
            "predictions",
            (
                setting("fraction", "prediction_log"),
                setting("keepDays", "prediction_keep_days"),
                Value("existingSecret", "", TEXT, "The Secret with that URL."),
                Value("urlKey", "uri", {"type": "string", "pattern": "^[-._a-zA-Z0-9]+$"}, "The key of that Secret."),
            ),
            "Kept predictions: a fraction, and a Secret with the URL of a PostgreSQL of their own.",
        ),
        Group(
            "cache",
            (said("size", "12Gi", k.QUANTITY, "Where downloaded models are: `emptyDir` of this size, in each pod."),),
        ),
        k.resources("500m", "512Mi", "2Gi"),
        k.autoscaling(20, first=False),
        k.disruption(first=False),
        k.service(5002),
        *k.ending(45, first=False),
        *k.extras(),
        *k.marks(),
        *k.spread(),
    ),
)
JOBS = Group(
    "jobs",
    (
        k.resources(
            "100m",
            "256Mi",
            "1Gi",
            "Of objectstore-init, tracking-migrate, serving-migrate and the containers that wait for them.",
            said=True,
        ),
        said("activeDeadlineSeconds", 1800, k.whole(1), "Seconds until a migration is given up."),
        said(
            "waitSeconds",
            600,
            k.whole(1),
            "Seconds a pod waits for the schema and the bucket before it is started anew.",
        ),
        *k.placement(),
    ),
)


def _own_image(whose: str, repository: str = "", *, first: bool = False) -> Group:
    """An image that may be, or is, another than Homeport's."""
    tag = "Empty: the chart's appVersion." if first else "Its tag; a repository of yours needs one, or a digest."
    return Group(
        "image",
        (
            said("repository", repository, TEXT, whose),
            Value("tag", "", TEXT, tag, said=first),
            Value("digest", "", k.DIGEST, "sha256:…; wins over the tag."),
            Value("pullPolicy", "IfNotPresent", k.PULL, "When a node pulls it."),
        ),
    )


_TRAINS: list[Any] = ["python", "-m", "homeport.training", "penguins"]
TRAINING = Group(
    "training",
    (
        said("enabled", False, FLAG, "A CronJob of the reference training, or of yours."),
        Value("schedule", "0 3 * * 1", {"type": "string", "minLength": 1}, "When, as cron has it."),
        Value("timeZone", "", TEXT, "Of the schedule, such as Europe/Berlin; empty: the cluster's."),
        Value("suspend", False, FLAG, "No runs for the time being."),
        said("command", _TRAINS, _COMMAND, "What runs; the image's own pipelines or any command of an image of yours."),
        _own_image("Empty: Homeport's."),
        Value("activeDeadlineSeconds", 86400, k.whole(1), "Seconds until a run is given up."),
        k.resources("500m", "1Gi", "4Gi"),
        *k.extras(),
        *k.placement(),
    ),
)
LOADTEST = Group(
    "loadtest",
    (
        said("enabled", False, FLAG, "A Job that loads the platform (docs/how-to/load-test.md)."),
        _own_image(
            "images/loadtest/Dockerfile: Homeport's image with Locust beside it.",
            "ghcr.io/homeport/homeport-loadtest",
            first=True,
        ),
        Value("users", 20, k.whole(1), "Users at the same time."),
        Value("spawnRate", 5, {"type": "number", "exclusiveMinimum": 0}, "Users that are added in a second."),
        Value("duration", "60s", _SPAN, "How long: 90s, 10m, 1h30m."),
        said("workers", 1, k.whole(1, 64), "Processes that make the load, a core each."),
        said(
            "shares",
            "",
            {"type": "string", "pattern": "^([a-z]+=[0-9]+(,[a-z]+=[0-9]+)*)?$"},
            "How many of each kind of user: writer=4,reader=2,predictor=8,artifacts=1. Empty: these.",
        ),
        said("pause", 0.1, {"type": "number", "minimum": 0}, "Seconds between two requests of a user."),
        said("model", "", TEXT, "The model that is asked; empty: wine-quality, else the first one served."),
        said("prometheus", "", _URL, "URL of a Prometheus that knows the replicas; empty: they are not in the report."),
        k.resources("500m", "256Mi", "1Gi"),
        *k.placement(),
    ),
)
