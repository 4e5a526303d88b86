"""The values of the platform as a whole, of its secrets, its database and its artifacts. Only says which there are."""

from __future__ import annotations

from homeport.render.chart.kubernetes import TEXTS, image, persistence, placement, resources, typed, whole
from homeport.render.chart.value import FLAG, TEXT, Group, Value, said, setting
from homeport.render.site import PLAIN_IN_URI

_NAME = {"type": "string", "maxLength": 40}
_KEY = {"type": "string", "pattern": "^[-._a-zA-Z0-9]+$"}
_OPTIONAL_KEY = {"type": "string", "pattern": "^[-._a-zA-Z0-9]*$"}

DOMAIN = setting(
    "domain",
    "domain",
    "The UI is mlflow.DOMAIN, predictions models.DOMAIN. Empty: no way in from outside but port-forward.",
    default="",
    said=True,
)
NAMES = (
    Value("nameOverride", "", _NAME, "Instead of the chart's name, in names and labels."),
    Value("fullnameOverride", "", _NAME, "Instead of RELEASE-homeport, what every object's name begins with."),
    Value("commonLabels", {}, typed(TEXTS, "labels"), "Labels of every object and pod."),
    Value("commonAnnotations", {}, typed(TEXTS, "annotations"), "Annotations of every object."),
)
IMAGE = image("ghcr.io/homeport/homeport", "", first=True)
AUTH = Group(
    "auth",
    (
        said("enabled", True, FLAG, "Whether clients must log in: MLflow's own users, and a key for the serving API."),
        setting("adminUsername", "admin_username"),
    ),
)
SECRETS = Group(
    "secrets",
    (
        said(
            "existingSecret",
            "",
            TEXT,
            "A Secret of yours with every key of docs/how-to/kubernetes.md; empty: one is made and kept. GitOps needs "
            "yours.",
        ),
    ),
)
DATABASE = Group(
    "database",
    (
        setting(
            "url",
            "backend_store_uri",
            "postgresql://user@host:5432/name or mysql://…; empty: a PostgreSQL in the cluster, for trials.",
            said=True,
            schemes=("postgresql", "postgres", "mysql", "mariadb"),
        ),
        said(
            "existingSecret",
            "",
            TEXT,
            "A Secret with the password of that user; or the password stands in the URL, which is then kept in the "
            "chart's Secret.",
        ),
        Value("passwordKey", "password", _KEY, "The key of that Secret."),
        said(
            "urlKey",
            "",
            _OPTIONAL_KEY,
            "The key that holds the whole URL instead (CloudNativePG: uri); url stays empty then.",
        ),
        Group(
            "ca",
            (
                Value("existingSecret", "", TEXT, "A Secret with the authority's certificate."),
                Value("existingConfigMap", "", TEXT, "A ConfigMap with it."),
                Value("key", "ca.crt", _KEY, "The key of that Secret or ConfigMap."),
            ),
            "The certificate authority of a database elsewhere; set: connections are refused unless its certificate "
            "and name are right (verify-full). It becomes /etc/homeport/secrets/database-ca.crt.",
        ),
        said(
            "maxConnections",
            300,
            whole(20, 262143),
            "Connections that the in-cluster PostgreSQL allows. One replica of tracking takes up to 120; "
            "a rollout runs one more.",
        ),
        setting("user", "postgres_user", "Its user, who owns MLflow's tables.", pattern=PLAIN_IN_URI),
        setting("name", "postgres_db", "Its database, which holds MLflow's tables.", pattern=PLAIN_IN_URI),
        image("postgres", "18.6-trixie"),
        persistence("10Gi", first=True),
        resources("100m", "256Mi", "1Gi"),
        *placement(),
    ),
)
ARTIFACTS = Group(
    "artifacts",
    (
        setting(
            "destination",
            "artifacts_destination",
            "s3://bucket/path, gs://…, wasbs://…, abfss://…; empty: an object store in the cluster, for trials.",
            said=True,
            schemes=("s3", "gs", "wasbs", "abfss"),
        ),
        setting("endpoint", "s3_endpoint_url", "The S3 API, where it is not Amazon's.", said=True),
        setting("publicEndpoint", "s3_public_endpoint", said=True),
        setting("region", "aws_region"),
        setting("ignoreTls", "s3_ignore_tls"),
        said(
            "existingSecret",
            "",
            TEXT,
            "A Secret with the keys of the store; empty: the cloud's own way (IRSA, workload identity: "
            "serviceAccount.annotations).",
        ),
        Value("accessKeyKey", "access-key", _KEY, "The key of that Secret with the access key."),
        Value("secretKeyKey", "secret-key", _KEY, "The key of that Secret with the secret key."),
        Group(
            "google",
            (
                said(
                    "existingSecret",
                    "",
                    TEXT,
                    "A Secret with the key file of a service account; empty: workload identity.",
                ),
                Value("key", "key.json", _KEY, "The key of that Secret."),
            ),
        ),
        Group(
            "azure",
            (
                said("existingSecret", "", TEXT, "A Secret with a connection string; empty: workload identity."),
                Value("key", "connection-string", _KEY, "The key of that Secret."),
            ),
        ),
        setting("bucket", "bucket", "Bucket of the in-cluster store.", said=True),
        image("chrislusf/seaweedfs", "4.48"),
        persistence("20Gi", first=False),
        resources("100m", "256Mi", "1Gi"),
        *placement(),
    ),
)
