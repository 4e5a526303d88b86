"""Every object that the chart can make is one that every allowed Kubernetes takes."""

from __future__ import annotations

import pytest

from tests.chart import kubernetes
from tests.chart.matrix import every
from tests.chart.rendering import Object, render


@pytest.fixture(scope="module")
def objects() -> dict[str, Object]:
    """The objects of the whole matrix, each content once."""
    return kubernetes.unique(each for found in every().values() for each in found)


def test_the_versions_reach_from_the_oldest_allowed_one_to_this_year() -> None:
    assert kubernetes.versions()[0].startswith("{}.{}.".format(*kubernetes.oldest()))
    assert len(kubernetes.versions()) >= 8


@pytest.mark.parametrize("version", kubernetes.versions())
def test_every_object_of_the_matrix_is_valid(objects: dict[str, Object], version: str) -> None:
    wrong = {str(each): found for each in objects.values() if (found := kubernetes.faults(each.content, version))}
    assert wrong == {}


def test_the_kinds_of_others_are_among_them(objects: dict[str, Object]) -> None:
    named = {path.name.partition("-")[0] for path in kubernetes.SCHEMAS.glob("*.json")}
    assert named == {each.kind.lower() for each in objects.values() if kubernetes.is_custom(each.content)}


def test_a_field_that_does_not_exist_and_a_boolean_for_a_text_are_found() -> None:
    service = dict(render().one("Service", "tracking").content)
    assert kubernetes.faults(service | {"spec": {"sellector": {}}}, kubernetes.versions()[0])
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": False}}
    assert kubernetes.faults(settings, kubernetes.versions()[-1])
