"""Whatever a platform's settings are: the values that they become pass the schema, and the file says them unchanged."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from homeport.knobs import Knob
from homeport.model.service import Target
from homeport.render.chart import fragment
from homeport.render.chart.carried import carried
from homeport.render.chart.schema import schema
from homeport.settings import Settings, knobs

PASSES = jsonschema_rs.Draft7Validator(schema())
ODD = st.sampled_from(["", "off", "a b", "a@b", "yes", "1.0", "*@prod", "'", "{{ x }}", "ünï", "#", "null"])
SPECIAL = {
    "backend_store_uri": st.sampled_from(
        ["postgresql://u:p@h/db", "mysql://h/db", "sqlite:////x.db", "postgres:///db"]
    ),
    "artifacts_destination": st.sampled_from(["s3://b/p", "gs://b", "wasbs://c@a.blob.core.windows.net", "/srv/a"]),
    "s3_endpoint_url": st.sampled_from(["http://minio:9000", "https://[::1]:9000"]),
    "s3_public_endpoint": st.just("https://s3.example.org"),
    "prediction_database_uri": st.just("postgresql://u:p@h/db"),
    "serve": st.sampled_from(["none", "*@prod", "a@b, c/1"]),
    "serve_traffic": st.just("wine: champion 90, challenger 10"),
    "domain": st.sampled_from(["localhost", "ml.example.org", "a.localhost"]),
    "bucket": st.sampled_from(["runs", "a.b-c"]),
    "shared_artifacts": st.just("/srv/shared"),
}


def drawn(item: Knob) -> st.SearchStrategy[Any]:
    """Values that a setting takes."""
    accepts = item.accepts
    if item.name in SPECIAL:
        return SPECIAL[item.name]
    if accepts.kind in (int, float):
        return st.sampled_from([accepts.least, accepts.most])
    if accepts.kind is bool:
        return st.booleans()
    return st.sampled_from(accepts.words) if accepts.words else ODD


@settings(max_examples=40)
@given(st.fixed_dictionaries({}, optional={item.name: drawn(item) for item in knobs()}), st.sampled_from(Target))
def test_whatever_is_set_the_values_pass_the_schema(set_: dict[str, Any], target: Target) -> None:
    known = {item.name: item for item in knobs()}
    values = {name: known[name].read(raw, "test") for name, raw in set_.items() if raw != ""}
    found = carried(Settings(**values), target)
    PASSES.validate(found.nested())
    assert (yaml.safe_load(fragment.text(found, None)) or {}) == found.nested()
