"""A Job's pods cannot be changed, so its name says which they are: another template, another name, and the reverse."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.chart.matrix import CHANGES, changed, every, known
from tests.chart.rendering import Objects, merged, render

# What does not go together: each is a way of its own to say the same.
_ALONE = (
    "tracking.jobs",
    "database.",
    "artifacts.",
    "secrets.",
    "gatewayApi.",
    "serving.predictions.",
    "nameOverride",
    "fullnameOverride",
)
TOGETHER = [path for path in known() if not path.startswith(_ALONE)]


def jobs(objects: Objects) -> Iterable[tuple[str, str, str]]:
    """(component, name, pod template) of every Job."""
    for job in objects.all("Job"):
        if job in objects.ours:
            yield job.component, job.name, json.dumps(job.content["spec"]["template"], sort_keys=True)


def test_a_name_of_the_matrix_stands_for_one_template_and_a_template_for_one_name() -> None:
    names: dict[tuple[str, str], str] = {}
    templates: dict[str, tuple[str, str]] = {}
    for where, objects in every().items():
        for component, name, template in jobs(objects):
            assert names.setdefault((component, name), template) == template, f"{where}: {name}"
            # Another prefix is another release to Kubernetes.
            prefix = name.rsplit("-", 2)[0]
            assert templates.setdefault(prefix + template, (component, name)) == (component, name), f"{where}: {name}"
    assert {component for component, _ in names} >= {"objectstore-init", "tracking-migrate", "serving-migrate"}


@settings(max_examples=25)
@given(st.sets(st.sampled_from(TOGETHER), max_size=6), st.sampled_from(TOGETHER))
def test_a_job_is_called_otherwise_exactly_when_its_pods_are_others(first: set[str], more: str) -> None:
    before = _values(first)
    both = render(before), render(merged(before, changed(more)))
    found = [{component: (name, template) for component, name, template in jobs(each)} for each in both]
    for component in found[0].keys() & found[1].keys():
        (name, template), (other_name, other_template) = found[0][component], found[1][component]
        assert (name == other_name) == (template == other_template), f"{component}: {name} {other_name}"


def _values(paths: Iterable[str]) -> Mapping[str, Any]:
    values: Mapping[str, Any] = {}
    for path in sorted(paths):
        values = merged(values, changed(path))
    return values


def test_the_same_values_make_jobs_of_the_same_name() -> None:
    def names(found: Objects) -> list[str]:
        return [each.name for each in found.all("Job")]

    assert names(render()) == names(render(upgrade=True))


def test_a_new_image_and_a_new_database_migrate_again_and_more_replicas_do_not() -> None:
    def migration(path: str) -> str:
        return str(render(changed(path) if path else {}).one("Job", "tracking-migrate").name)

    assert CHANGES.keys() >= {"image.tag", "database.url", "tracking.replicas", "serving.models"}
    assert len({migration(""), migration("image.tag"), migration("database.url")}) == 3
    assert migration("tracking.replicas") == migration("serving.models") == migration("")
