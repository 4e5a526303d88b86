"""Values that are Kubernetes' own objects, or become fields of one: passed on as they are, so their types are loose.

Knows the kinds of Kubernetes, and no component of the platform.
"""

from __future__ import annotations

from homeport.render.chart.value import FLAG, TEXT, Group, Schema, Value

_SCALAR: Schema = {"type": ["string", "number"]}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
OBJECT: Schema = {"type": "object"}
OBJECTS: Schema = {"type": "array", "items": OBJECT}
WORDS: Schema = {"type": "array", "items": TEXT}
NAMED: Schema = {"type": "array", "items": {"type": "object", "required": ["name"]}}
VARIABLES: Schema = {
    "title": "EnvVar",
    "type": "array",
    # A number without quotes is the most common slip here, and the API server's words for it are hard to read.
    "items": {"type": "object", "required": ["name"], "properties": {"name": TEXT, "value": TEXT}},
}
QUANTITY: Schema = {
    "title": "quantity",
    "type": ["string", "number"],
    "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|Ki|[MGTPE]i?)?$",
}
PULL: Schema = {"type": "string", "enum": ["IfNotPresent", "Always", "Never"]}
DIGEST: Schema = {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"}
_RESOURCES: Schema = {
    "title": "ResourceRequirements",
    "type": "object",
    "properties": {
        "requests": {"type": "object", "additionalProperties": _SCALAR},
        "limits": {"type": "object", "additionalProperties": _SCALAR},
    },
}
_SHARE: Schema = {"type": ["integer", "string"], "minimum": 0, "pattern": "^[0-9]+%$"}


def typed(schema: Schema, title: str) -> Schema:
    """The schema under the name that Kubernetes gives the type."""
    return {"title": title, **schema}


def whole(least: int, most: int | None = None) -> Schema:
    """A whole number."""
    return {"type": "integer", "minimum": least} | ({} if most is None else {"maximum": most})


def named(title: str) -> Schema:
    """A list of objects that each have a name."""
    return typed(NAMED, title)


def objects(title: str) -> Schema:
    """A list of objects."""
    return typed(OBJECTS, title)


def annotated(help: str = "Annotations of the object.", *, said: bool = False) -> Value:
    """Annotations of an object."""
    return Value("annotations", {}, typed(TEXTS, "annotations"), help, said=said)


def labels(default: dict[str, str], help: str) -> Value:
    """Labels of an object."""
    return Value("labels", default, typed(TEXTS, "labels"), help)


def image(repository: str, tag: str, *, first: bool = False) -> Group:
    """An image by repository and tag, or by repository and digest.

    Args:
        repository: without tag.
        tag: empty: the chart's appVersion.
        first: its help stands in values.yaml.
    """
    whose = "Empty: the chart's appVersion." if first else "Tag of the image."
    members = (
        Value("repository", repository, {"type": "string", "minLength": 1}, "The image without its tag."),
        Value("tag", tag, TEXT, whose, said=first),
        Value("digest", "", DIGEST, "sha256:…; wins over the tag.", said=first),
        Value("pullPolicy", "IfNotPresent", PULL, "When a node pulls it."),
    )
    secrets = Value("pullSecrets", [], named("LocalObjectReference"), "Names of Secrets: [{name: regcred}]", said=True)
    return Group("image", (*members, secrets) if first else members)


def resources(cpu: str, memory: str, limit: str, help: str = "", *, said: bool = False) -> Value:
    """What a container asks for and may take: no limit of processor time, which only slows an idle node down."""
    default = {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": limit}}
    return Value(
        "resources", default, _RESOURCES, help or "What each container asks for, and the most it gets.", said=said
    )


def placement() -> tuple[Value, ...]:
    """On which nodes a pod runs."""
    return (
        Value("nodeSelector", {}, typed(TEXTS, "nodeSelector"), "Labels of the nodes that the pods run on."),
        Value("tolerations", [], objects("Toleration"), "Taints of nodes that the pods put up with."),
        Value("affinity", {}, typed(OBJECT, "Affinity"), "Which nodes and neighbours the pods prefer."),
    )


def spread() -> tuple[Value, ...]:
    """How replicas stand apart, and who goes first."""
    constraints = "How replicas stand apart; empty: over hosts and zones, where that is possible."
    return (
        *placement(),
        Value("topologySpreadConstraints", [], objects("TopologySpreadConstraint"), constraints),
        Value("priorityClassName", "", TEXT, "Which pods go first when a node is full."),
    )


def extras() -> tuple[Value, ...]:
    """What a container gets besides."""
    return (
        Value("extraEnv", [], VARIABLES, "Further variables, none that the chart sets itself."),
        Value("extraEnvFrom", [], objects("EnvFromSource"), "ConfigMaps and Secrets whose keys become variables."),
        Value("extraVolumes", [], named("Volume"), "Further volumes of the pod."),
        Value("extraVolumeMounts", [], named("VolumeMount"), "Where the container sees them."),
    )


def marks() -> tuple[Value, ...]:
    """Labels and annotations of pods."""
    return (
        Value("podLabels", {}, typed(TEXTS, "labels"), "Further labels of the pods."),
        Value("podAnnotations", {}, typed(TEXTS, "annotations"), "Annotations of the pods."),
    )


def replicas(*, first: bool) -> Value:
    """How many pods."""
    none = "Used while autoscaling is off; null: something else decides (KEDA)."
    return Value("replicas", 1, {"type": ["integer", "null"], "minimum": 0}, none, said=first)


def autoscaling(most: int, *, first: bool) -> Group:
    """A HorizontalPodAutoscaler."""
    target = "Processor time, in percent of what a pod asks for, above which pods are added; null: by metrics alone."
    more = "Further metrics of an HorizontalPodAutoscaler, as its `spec.metrics` has them."
    return Group(
        "autoscaling",
        (
            Value("enabled", False, FLAG, "Whether the number of replicas follows the load."),
            Value("minReplicas", 2, whole(1), "Fewest replicas."),
            Value("maxReplicas", most, whole(1), "Most replicas."),
            Value("targetCPUUtilizationPercentage", 70, {"type": ["integer", "null"], "minimum": 1}, target),
            Value("metrics", [], objects("MetricSpec"), more, said=first),
        ),
    )


def disruption(*, first: bool) -> Group:
    """A PodDisruptionBudget."""
    most = "Replicas that may be away at a time while nodes are emptied: a number, or a share such as 25%."
    return Group(
        "podDisruptionBudget",
        (
            Value("enabled", True, FLAG, "Only with more than one replica.", said=first),
            Value("maxUnavailable", 1, typed(_SHARE, "IntOrString"), most),
        ),
    )


def service(port: int) -> Group:
    """A Service."""
    kinds: Schema = {"type": "string", "enum": ["ClusterIP", "NodePort", "LoadBalancer"]}
    return Group(
        "service",
        (
            Value("type", "ClusterIP", kinds, "Who reaches it: the cluster, by default."),
            Value("port", port, whole(1, 65535), "The Service's port."),
            annotated("Annotations of the Service."),
        ),
    )


def ending(grace: int, *, first: bool) -> tuple[Value, ...]:
    """How a pod leaves."""
    drain = 'Seconds between "no more requests" and the end.'
    return (
        Value("drainSeconds", 5, whole(0), drain, said=first),
        Value("terminationGracePeriodSeconds", grace, whole(1), "Seconds until it is killed, drainSeconds included."),
    )


def persistence(size: str, *, first: bool) -> Group:
    """The claim of a StatefulSet."""
    return Group(
        "persistence",
        (
            Value("size", size, QUANTITY, "Size of the claim."),
            Value("storageClass", "", TEXT, "Its storage class; empty: the cluster's default."),
            Value("existingClaim", "", TEXT, "A claim of yours instead of a new one.", said=first),
        ),
    )
