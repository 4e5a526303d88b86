"""Traefik's dynamic configuration as data. That Traefik reads it so is proven in tests/programs/gateway."""

from __future__ import annotations

from pathlib import Path

import pytest

from homeport.gateway.routes import configuration, denied
from homeport.gateway.site import SWITCHES, Site

_ROUTES = {"mlflow": "tracking:5000", "models": "serving:5002", "grafana": "grafana:3000"}


def _site(*, public: bool = False, enabled: frozenset[str] = frozenset()) -> Site:
    return Site("example.org", _ROUTES, public, Path("/g"), enabled)


def test_every_route_has_a_router_a_service_and_a_router_that_denies_before_it() -> None:
    http = configuration(_site(), Path("/g/c.pem"))["http"]

    for name, address in _ROUTES.items():
        router = http["routers"][name]
        assert (router["rule"], router["service"]) == (f"Host(`{name}.example.org`)", name)
        assert http["services"][name]["loadBalancer"]["servers"] == [{"url": f"http://{address}"}]
        assert http["routers"][f"{name}-denied"]["priority"] > router["priority"]
        assert http["routers"][f"{name}-denied"]["middlewares"][-1] == "nobody"
    assert http["routers"]["mlflow-denied"]["priority"] > http["routers"]["mlflow-compressed"]["priority"]


def test_everything_that_is_named_is_defined() -> None:
    http = configuration(_site(), Path("/g/c.pem"))["http"]

    for router in http["routers"].values():
        assert router["service"] in http["services"]
        assert set(router["middlewares"]) <= set(http["middlewares"])
        assert router["entryPoints"] == ["websecure"]


def test_a_public_domain_is_signed_by_lets_encrypt_and_promises_https_for_a_year() -> None:
    found = configuration(_site(public=True), None)

    assert {router["tls"]["certResolver"] for router in found["http"]["routers"].values()} == {"letsencrypt"}
    assert found["http"]["middlewares"]["headers"]["headers"]["stsSeconds"] == 31_536_000
    assert set(found["tls"]) == {"options"}


def test_an_authority_of_our_own_signs_without_a_resolver_and_without_a_promise() -> None:
    found = configuration(_site(), Path("/g/c.pem"))

    assert all(router["tls"] == {} for router in found["http"]["routers"].values())
    assert "stsSeconds" not in found["http"]["middlewares"]["headers"]["headers"]
    assert found["tls"]["certificates"] == [{"certFile": "/g/c.pem", "keyFile": "/g/c.pem"}]


def test_no_template_of_traefiks_stands_in_it() -> None:
    assert "{{" not in str(configuration(_site(), Path("/g/c.pem")))


@pytest.mark.parametrize("name", _ROUTES)
def test_metrics_are_denied_everywhere(name: str) -> None:
    assert "/metrics" in denied(_site(enabled=frozenset(SWITCHES)), name)


def test_what_is_switched_on_is_not_denied() -> None:
    off, on = denied(_site(), "mlflow"), denied(_site(enabled=frozenset(SWITCHES)), "mlflow")

    assert set(off) - set(on) == {"/ajax-api/3.0/jobs", "/gateway", "/ajax-api/2.0/mlflow/gateway-proxy"}
