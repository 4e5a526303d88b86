"""What `homeport render values` makes of a platform's settings comes to the same platform in the chart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeport.model.service import Target
from homeport.render.chart.carried import carried
from homeport.settings import Settings, knobs, load
from tests.chart import kubernetes
from tests.chart.cases import CASES
from tests.chart.expected import same
from tests.chart.rendering import render
from tests.chart.test_contract import NOT_ON_KUBERNETES, ON_DEMAND, OTHER_VALUES, graph, values
from tests.unit.render.test_chart_any_settings import drawn

# A password leaves the URL for a Secret of its own, so that the URL is put together at the container's start.
_IN_SECRETS = re.compile(r"(.+)_(FILE|TEMPLATE)$")


def literal(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of a container by the name that its program reads; what holds a secret is only there."""
    found = {}
    for name, value in environment.items():
        held = _IN_SECRETS.match(name) if "/etc/homeport/secrets/" in value or name.endswith("_TEMPLATE") else None
        found[held[1] if held else name] = "a secret" if held else value
    return found


@pytest.mark.parametrize("case", CASES)
def test_every_variable_is_what_the_settings_say(case: str) -> None:
    made = carried(load({}, environ=CASES[case].environ, directory=Path("/nonexistent")), Target.CONTAINERS)
    objects = render(made.nested())
    told = {variable for variable, _ in made.left}
    for node in graph(case):
        if node.name in (*NOT_ON_KUBERNETES, *ON_DEMAND):
            continue
        wanted, there = literal(values(case).environment(node)), literal(objects.pod(node.name).main.env)
        assert wanted.keys() <= there.keys(), node.name
        other = {
            name: (there[name], text)
            for name, text in wanted.items()
            if name not in told and not same(there[name], text)
        }
        assert {(node.name, name) for name in other} <= OTHER_VALUES.keys(), node.name


@settings(max_examples=25)
@given(st.fixed_dictionaries({}, optional={item.name: drawn(item) for item in knobs()}), st.sampled_from(Target))
def test_whatever_is_set_the_chart_takes_what_becomes_of_it(set_: dict[str, Any], target: Target) -> None:
    known = {item.name: item for item in knobs()}
    given_ = {name: known[name].read(raw, "test") for name, raw in set_.items() if raw != ""}
    objects = render(carried(Settings(**given_), target).nested())
    wrong = {str(each): kubernetes.faults(each.content, kubernetes.versions()[-1]) for each in objects}
    assert {name: found for name, found in wrong.items() if found} == {}
