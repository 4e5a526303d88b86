"""What a gateway is asked for, read from the environment, or refused with the variable's name."""

from __future__ import annotations

import pytest

from homeport.errors import HomeportError
from homeport.gateway.site import from_environ, is_public

_ENV = {"DOMAIN": "example.org", "HOMEPORT_ROUTES": "mlflow=tracking:5000", "HOMEPORT_GATEWAY_DIRECTORY": "/g"}


@pytest.mark.parametrize(
    "domain", ["example.org", "mlflow.example.co.uk", "localhost.example.org", "a.io", "10.0.0.5.nip.io", "testing.de"]
)
def test_a_domain_in_public_dns_is_public(domain: str) -> None:
    assert is_public(domain)


@pytest.mark.parametrize(
    "domain",
    ["localhost", "a.localhost", "server", "nas.local", "x.internal", "a.b.test", "home.arpa", "x.home.arpa", "nas.lan",
     "10.0.0.5", "::1", "256.1"],
)  # fmt: skip
def test_a_name_that_nobody_can_prove_to_own_is_not_public(domain: str) -> None:
    assert not is_public(domain)


@pytest.mark.parametrize(
    ("domain", "tls", "public"),
    [("example.org", "auto", True), ("example.org", "", True), ("example.org", "internal", False),
     ("example.org", "letsencrypt", True), ("localhost", "auto", False), ("localhost", "internal", False)],
)  # fmt: skip
def test_lets_encrypt_signs_where_it_can_unless_told_otherwise(domain: str, tls: str, public: bool) -> None:
    assert from_environ({**_ENV, "DOMAIN": domain, "HOMEPORT_TLS": tls}).public is public


def test_lets_encrypt_is_refused_for_what_it_never_signs() -> None:
    with pytest.raises(HomeportError) as refused:
        from_environ({**_ENV, "DOMAIN": "nas.local", "HOMEPORT_TLS": "letsencrypt"})

    assert refused.value.code == "DOMAIN_NOT_PUBLIC"


@pytest.mark.parametrize("domain", ["10.0.0.5", "::1", "1.2.3", "example.0x7f", "5"])
def test_an_address_is_refused_with_what_to_do_instead(domain: str) -> None:
    with pytest.raises(HomeportError) as refused:
        from_environ({**_ENV, "DOMAIN": domain})

    assert refused.value.code == "DOMAIN_IS_AN_ADDRESS"
    assert "/etc/hosts" in refused.value.fix


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DOMAIN", "https://example.org"), ("DOMAIN", "a`b.org"), ("DOMAIN", "a..org"), ("DOMAIN", "-a.org"),
        ("DOMAIN", "a_b.org"), ("DOMAIN", "x." * 127 + "org"), ("DOMAIN", f"{'a' * 64}.org"),
        ("HOMEPORT_TLS", "on"),
        ("HOMEPORT_ROUTES", ","), ("HOMEPORT_ROUTES", "mlflow"), ("HOMEPORT_ROUTES", "mlflow=tracking"),
        ("HOMEPORT_ROUTES", "mlflow=tracking:0"), ("HOMEPORT_ROUTES", "mlflow=tracking:65536"),
        ("HOMEPORT_ROUTES", "a.b=tracking:1"), ("HOMEPORT_ROUTES", "a=x:1,a=y:1"), ("HOMEPORT_ROUTES", "a`=x:1"),
        ("HOMEPORT_ROUTES", "a=x/y:1"), ("HOMEPORT_ROUTES", "=x:1"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_by_the_name_of_its_variable(name: str, value: str) -> None:
    with pytest.raises(HomeportError) as refused:
        from_environ({**_ENV, name: value})

    assert (refused.value.code, refused.value.exit_code) == ("SETTING_INVALID", 2)
    assert name in refused.value.what


@pytest.mark.parametrize("name", _ENV)
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(HomeportError, match=f"{name} is not set"):
        from_environ({key: value for key, value in _ENV.items() if key != name})


def test_case_and_the_last_dot_of_a_domain_do_not_matter() -> None:
    site = from_environ({**_ENV, "DOMAIN": " Example.ORG. ", "HOMEPORT_ROUTES": "mlflow=t:1, Models=s:2,"})

    assert site.hosts == ("example.org", "mlflow.example.org", "models.example.org")
    assert site.routes == {"mlflow": "t:1", "models": "s:2"}
