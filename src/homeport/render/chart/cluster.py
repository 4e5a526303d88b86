"""The values of how the platform stands in its cluster: ways in, rights, measures. Only says which there are."""

from __future__ import annotations

from homeport.render.chart.kubernetes import annotated, labels, named, objects
from homeport.render.chart.value import FLAG, TEXT, Group, Schema, Value, said

# null: the chart says nothing, and the cluster chooses.
_ID: Schema = {"type": ["integer", "null"], "minimum": 1}
_DURATION: Schema = {"title": "Duration", "type": "string", "pattern": "^(([0-9]{1,5}(h|m|s|ms)){1,4})?$"}
_TIMEOUTS: Schema = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"tracking": _DURATION, "serving": _DURATION},
}
_INTERVAL: Schema = {"title": "Duration", "type": "string", "pattern": "^([0-9]+(ms|s|m|h))+$"}

INGRESS = Group(
    "ingress",
    (
        said("enabled", True, FLAG, "Needs `domain`."),
        Value("className", "", TEXT, "Which ingress controller; empty: the cluster's default."),
        annotated("Annotations of the Ingress."),
        Group(
            "tls",
            (
                said(
                    "enabled",
                    True,
                    FLAG,
                    "Whether people come by https: with it off, pages at http://mlflow.DOMAIN may call the server, "
                    "too.",
                ),
                said(
                    "secretName",
                    "",
                    TEXT,
                    "A Secret with the certificate of mlflow.DOMAIN and models.DOMAIN; empty: RELEASE-tls, for "
                    "cert-manager to make.",
                ),
                said("clusterIssuer", "", TEXT, "cert-manager: a ClusterIssuer or an Issuer."),
                Value("issuer", "", TEXT, "cert-manager: an Issuer of the namespace."),
            ),
        ),
    ),
)
GATEWAY_API = Group(
    "gatewayApi",
    (
        said("enabled", False, FLAG, "An HTTPRoute instead of an Ingress."),
        said(
            "parentRefs",
            [],
            named("ParentReference"),
            "Which Gateways: [{name: public, namespace: gateways, sectionName: https}]",
        ),
        annotated("Annotations of the HTTPRoutes."),
        said(
            "timeouts",
            {"tracking": "0s", "serving": "0s"},
            _TIMEOUTS,
            "`timeouts.request` of each route; both servers end requests themselves. Empty: the Gateway's own.",
        ),
    ),
)
NETWORK_POLICY = Group(
    "networkPolicy",
    (
        said("enabled", True, FLAG, "Nothing in and nothing out but what each part needs."),
        said(
            "clients",
            [],
            objects("NetworkPolicyPeer"),
            "Who may call tracking and serving, as `from` of an ingress rule: the ingress controller, your notebooks. "
            "Empty: anyone.",
        ),
        said("metrics", [], objects("NetworkPolicyPeer"), "Who may read metrics, besides clients."),
        said(
            "egress",
            [],
            objects("NetworkPolicyEgressRule"),
            "Where tracking and jobs may go outside the chart, as rules of `egress`: the database, the store. Empty: "
            "anywhere.",
        ),
        said(
            "training",
            [],
            objects("NetworkPolicyEgressRule"),
            "Where training may go besides tracking, as rules of `egress`: its data.",
        ),
    ),
)
SERVICE_ACCOUNT = Group(
    "serviceAccount",
    (
        Value("create", True, FLAG, "Whether the chart makes it."),
        Value("name", "", TEXT, "Its name; empty: RELEASE-homeport, or `default` where none is made."),
        annotated("IRSA, workload identity: of tracking and the bucket's job.", said=True),
    ),
)
SECURITY = Group(
    "security",
    (
        said("runAsUser", 10001, _ID, "Who runs; null leaves it to the cluster (OpenShift)."),
        Value("runAsGroup", 10001, _ID, "The user's group; null as above."),
        Value("fsGroup", 10001, _ID, "The group that owns volumes; null as above."),
    ),
)
METRICS = Group(
    "metrics",
    (
        Group(
            "serviceMonitor",
            (
                Value("enabled", False, FLAG, "A ServiceMonitor of the Prometheus operator."),
                Value("interval", "15s", _INTERVAL, "How often metrics are read."),
                labels({}, "Labels by which a Prometheus chooses it."),
            ),
        ),
        Group(
            "prometheusRule",
            (
                Value("enabled", False, FLAG, "Alerts, as a PrometheusRule."),
                labels({}, "Labels by which a Prometheus chooses it."),
            ),
        ),
        Group(
            "dashboard",
            (
                Value("enabled", False, FLAG, "Grafana's dashboard, as a ConfigMap for its sidecar."),
                said("datasource", "prometheus", TEXT, "The uid of the data source in Grafana."),
                labels({"grafana_dashboard": "1"}, "Labels by which the sidecar chooses it."),
                annotated("Annotations for the sidecar, such as its folder."),
            ),
        ),
    ),
)
