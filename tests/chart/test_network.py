"""With the policies on, each part reaches what it needs and nothing else: policies as a cluster reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.chart.matrix import POSTGRES, S3
from tests.chart.rendering import Objects, Pod, Values, at, merged, render

CLIENT = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "notebooks"}}}
TRIAL: Values = {
    "training": {"enabled": True},
    "loadtest": {"enabled": True},
    "networkPolicy": {"clients": [CLIENT]},
}
# Who calls whom at which port; nobody else calls anybody.
FLOWS = {
    ("tracking", "database", 5432),
    ("tracking-migrate", "database", 5432),
    ("tracking", "objectstore", 8333),
    ("objectstore-init", "objectstore", 8333),
    ("tracking", "serving", 5002),  # MLflow's webhooks
    ("serving", "tracking", 5000),
    ("training", "tracking", 5000),
    ("loadtest", "tracking", 5000),
    ("loadtest", "serving", 5002),
    ("test", "tracking", 5000),
    ("test", "serving", 5002),
}


def rules(objects: Objects, pod: Pod, direction: str) -> list[Mapping[str, Any]] | None:
    """The rules of every policy of that direction that selects a pod; None where none does, and all is allowed."""
    found: list[Mapping[str, Any]] = []
    selected = False
    for policy in objects.all("NetworkPolicy"):
        spec = policy.content["spec"]
        kinds = spec.get("policyTypes") or ["Ingress", *(["Egress"] if "egress" in spec else [])]
        if direction.capitalize() in kinds and _selects(spec["podSelector"], pod):
            selected = True
            found += spec.get(direction) or []
    return found if selected else None


def _selects(selector: Mapping[str, Any], pod: Pod) -> bool:
    assert selector.keys() <= {"matchLabels"}, selector
    wanted: Mapping[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= pod.labels.items()


def allowed(objects: Objects, direction: str, pod: Pod, other: Pod | None, port: int) -> bool:
    """Whether a pod's policies let it talk with another of the release, or (None) with something outside of it."""
    found = rules(objects, pod, direction)
    peers = "from" if direction == "ingress" else "to"
    return found is None or any(_has_port(rule, port) and _has_peer(rule.get(peers), other) for rule in found)


def _has_port(rule: Mapping[str, Any], port: int) -> bool:
    return not rule.get("ports") or any(each.get("port") == port for each in rule["ports"])


def _has_peer(peers: list[Mapping[str, Any]] | None, other: Pod | None) -> bool:
    if not peers:
        return True
    if other is None:
        return any("podSelector" not in peer for peer in peers)
    return any("podSelector" in peer and "namespaceSelector" not in peer and _selects(peer["podSelector"], other)
               for peer in peers)  # fmt: skip


def flows(objects: Objects) -> Iterator[tuple[str, str, int]]:
    """(who, whom, port) of all that may happen between the parts."""
    for source in objects.pods:
        for target in objects.pods:
            for port in target.main.ports.values():
                out = allowed(objects, "egress", source, target, port)
                if source != target and out and allowed(objects, "ingress", target, source, port):
                    yield source.component, target.component, port


def test_in_a_trial_each_part_reaches_what_it_needs_and_nothing_else() -> None:
    assert set(flows(render(TRIAL))) == FLOWS


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_each_side_alone_lets_through_what_is_needed_and_nothing_else(direction: str) -> None:
    objects = render(TRIAL)
    found = {
        (source.component, target.component, port)
        for source in objects.pods
        for target in objects.pods
        for port in target.main.ports.values()
        if source != target
        and allowed(objects, direction, *((target, source) if direction == "ingress" else (source, target)), port)
    }
    assert found == FLOWS


def test_predictions_are_kept_in_the_own_database_or_elsewhere() -> None:
    kept = {"serving": {"predictions": {"fraction": 1, "existingSecret": "kept"}}}
    objects = render(merged(TRIAL, kept))
    # The Secret says where, and may say the database of the trial.
    assert set(flows(objects)) == FLOWS | {(name, "database", 5432) for name in ("serving", "serving-migrate")}
    assert all(allowed(objects, "egress", objects.pod(name), None, 5432) for name in ("serving", "serving-migrate"))


def test_only_clients_come_in_and_only_at_two_ports() -> None:
    objects = render(TRIAL)
    for pod in objects.pods:
        open_to = {
            port for port in (5000, 5002, 5432, 8333, 8888, 9333) if allowed(objects, "ingress", pod, None, port)
        }
        assert open_to == {"tracking": {5000}, "serving": {5002}}.get(pod.component, set()), pod


def test_a_trial_goes_nowhere_outside_but_to_ask_for_names() -> None:
    objects = render(TRIAL)
    for pod in objects.pods:
        assert allowed(objects, "egress", pod, None, 53), pod
        assert not allowed(objects, "egress", pod, None, 443), pod


@pytest.mark.parametrize("egress", [[], [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]], ids=["anywhere", "named"])
def test_a_database_and_a_store_elsewhere_are_reached_by_those_that_use_them(egress: list[dict[str, Any]]) -> None:
    objects = render(merged(merged(TRIAL, {**POSTGRES, **S3}), {"networkPolicy": {"egress": egress}}))
    outside = {pod.component for pod in objects.pods if allowed(objects, "egress", pod, None, 443)}
    assert outside == {"tracking", "tracking-migrate", "objectstore-init"}


def test_every_peer_of_a_policy_is_a_part_of_the_platform() -> None:
    known = {name for flow in FLOWS for name in flow[:2]} | {"serving-migrate"}
    for policy in render(TRIAL).all("NetworkPolicy"):
        for rule in [*(policy.content["spec"].get("ingress") or []), *(policy.content["spec"].get("egress") or [])]:
            for peer in [*rule.get("from", []), *rule.get("to", [])]:
                name = at(peer, "podSelector", "matchLabels", "app.kubernetes.io/component")
                assert name is None or name in known, f"{policy}: {name}"


def test_without_policies_everything_may_be_reached() -> None:
    objects = render(merged(TRIAL, {"networkPolicy": {"enabled": False}}))
    assert not objects.all("NetworkPolicy")
    assert allowed(objects, "egress", objects.pod("serving"), objects.pod("database"), 5432)
