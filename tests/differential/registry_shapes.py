"""The hot calls that read the registry, as `shapes.py` has the others."""

from __future__ import annotations

from collections.abc import Sequence

from tests.differential.shapes import Shape

_MODEL: dict[str, tuple[str, ...]] = {"name": ("model%20@S0@", "no")}
GET_MODEL = Shape("get-model", "GET", "registered-models/get", _MODEL)
_LATEST = "registered-models/get-latest-versions"
LATEST = Shape("get-latest-versions", "GET", _LATEST, _MODEL | {"stages": ("None", "Production", "x")})
LATEST_POSTED = Shape(
    "get-latest-versions", "POST", _LATEST,
    {"name": ('"model @S0@"', '"no"'), "stages": ('["None"]', "[]", '["none","Staging"]', '"None"')},
)  # fmt: skip
PLACE = Shape(
    "get-model-version-place", "GET", "model-versions/get-download-uri", _MODEL | {"version": ("1", "2", "x")}
)
_PAGED = {
    "max_results": ("10", "1", "1000", "0", "x"), "order_by": ("name", "last_updated_timestamp%20DESC", "nope"),
    "page_token": ("", "@T0@", "broken"),
}  # fmt: skip
SEARCH_MODELS = Shape(
    "search-models", "GET", "registered-models/search",
    {"filter": ("name%20ILIKE%20'%25model%25'", "", "name='model%20@S0@'", "tags.t='1'", "nope"), **_PAGED},
)  # fmt: skip
SEARCH_VERSIONS = Shape(
    "search-model-versions", "GET", "model-versions/search",
    {
        "filter": ("name='model%20@S0@'", "", "run_id='@R0@'", "run_id%20IN%20('@R0@','@R1@')", "tags.t='1'", "nope"),
        **_PAGED,
    },
)  # fmt: skip

REGISTRY: Sequence[Shape] = (GET_MODEL, LATEST, LATEST_POSTED, PLACE, SEARCH_MODELS, SEARCH_VERSIONS)
