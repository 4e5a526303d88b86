from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from homeport.errors import HomeportError
from homeport.render.variants import (
    BASE,
    EXTERNAL,
    EXTERNAL_GATEWAY,
    MARIADB,
    VARIANTS,
    Variant,
    chosen,
    files,
    rendered,
)
from homeport.settings import load
from tests.unit.render.composed import REQUIRED, configured, site, written


def together(variants: tuple[Variant, ...]) -> bool:
    return not any(other.name in one.without for one in variants for other in variants)


COMBINED = [pick for size in range(1, len(VARIANTS) + 1) for pick in combinations(VARIANTS, size) if together(pick)]
APART = [pick for pick in combinations(VARIANTS, 2) if not together(pick)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return site(tmp_path_factory.mktemp("site"), **REQUIRED)


def test_all_of_these_combinations_are_tried() -> None:
    assert {"+".join(v.name for v in pick) for pick in COMBINED if len(pick) > 1} == {
        "shared-artifacts+mariadb",
        "mariadb+external-gateway",
        "shared-artifacts+external-gateway",
        "shared-artifacts+predictions",
        "external+external-gateway",
        "external-gateway+predictions",
        "shared-artifacts+mariadb+external-gateway",
        "shared-artifacts+external-gateway+predictions",
    }


@pytest.mark.parametrize("pick", [(), *COMBINED], ids=lambda pick: "+".join(v.name for v in pick) or "base")
def test_merged_by_compose_the_files_are_what_the_settings_render(pick: tuple[Variant, ...], place: Path) -> None:
    merged = configured(place, files(pick))
    assert merged == configured(place, [written(place, rendered(*pick))])
    assert merged["services"]["tracking"]


@pytest.mark.parametrize("pick", APART, ids=lambda pick: "+".join(v.name for v in pick))
def test_what_excludes_each_other_is_refused_by_both_names(pick: tuple[Variant, ...]) -> None:
    with pytest.raises(HomeportError, match="RENDER_COMBINATION") as caught:
        files(pick)
    assert all(variant.file in caught.value.what for variant in pick)


def test_the_site_s_own_gateway_is_on_the_network_of_what_it_leads_to(place: Path) -> None:
    found = configured(place, files([EXTERNAL_GATEWAY]), HOMEPORT_GATEWAY_NETWORK="proxy")
    assert found["networks"]["edge"] == {"name": "proxy", "ipam": {}, "external": True}
    assert {name for name, service in found["services"].items() if "edge" in service["networks"]} == {
        "tracking", "serving", "dbadmin", "grafana",
    }  # fmt: skip
    assert found["services"]["tracking"]["labels"]["traefik.enable"] == "true"
    assert not any("ports" in service for service in found["services"].values())


def test_with_the_stores_elsewhere_only_who_needs_them_reaches_out(place: Path) -> None:
    found = configured(place, files([EXTERNAL]))
    assert "internal" not in found["networks"]["data"]
    assert found["networks"]["backend"]["internal"] is True
    assert "data" not in found["services"]["serving"]["networks"]
    assert not found["services"].keys() & {"database", "objectstore"}


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, []),
        ({"HOMEPORT_DATABASE": "mariadb"}, ["mariadb"]),
        ({"HOMEPORT_SHARED_ARTIFACTS": "/shared"}, ["shared-artifacts"]),
        (
            {"MLFLOW_BACKEND_STORE_URI": "postgresql://h/db", "MLFLOW_S3_ENDPOINT_URL": "https://s3.example.org"},
            ["external"],
        ),
        ({"HOMEPORT_GATEWAY": "external", "HOMEPORT_PREDICTION_LOG": "0.5"}, ["external-gateway", "predictions"]),
    ],
)
def test_settings_choose_their_overlays(settings: dict[str, str], names: list[str], tmp_path: Path) -> None:
    found = chosen(load({}, environ=settings, directory=tmp_path))
    assert [variant.name for variant in found] == names
    assert files(found) == (BASE, *(f"compose.{name}.yaml" for name in names))


@pytest.mark.parametrize("name", ["MLFLOW_BACKEND_STORE_URI", "MLFLOW_S3_ENDPOINT_URL"])
def test_one_store_elsewhere_and_one_here_is_refused_and_the_other_named(name: str, tmp_path: Path) -> None:
    value = "postgresql://h/db" if "URI" in name else "https://s3.example.org"
    with pytest.raises(HomeportError, match="RENDER_EXTERNAL") as caught:
        chosen(load({}, environ={name: value}, directory=tmp_path))
    other = {"MLFLOW_BACKEND_STORE_URI", "MLFLOW_S3_ENDPOINT_URL"} - {name}
    assert other.pop() in caught.value.what


def test_an_overlay_says_only_what_differs() -> None:
    from homeport.render.variants import overlay

    assert overlay(MARIADB)["services"].keys() == {
        "database", "tracking-migrate", "tracking", "gateway-init", "dbadmin",
    }  # fmt: skip
