"""registered-models/search and model-versions/search find what MLflow finds, in its order and in its pages."""

from __future__ import annotations

import itertools
import re
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeport.tracking import planning
from homeport.tracking.fast.reads.plans import PLAIN
from homeport.tracking.fast.reads.registry_search import shared
from tests.programs.tracking.reads.both import AJAX, API, Both
from tests.programs.tracking.reads.shelf import NAMES, PROMPT, RUNS

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("shelf")]

MODELS = API + "registered-models/search"
VERSIONS = API + "model-versions/search"

_words = [*NAMES, "%", "%o%", "A_B", "none", "", "true", "false", *RUNS, "50\\%", "a--b", "x' or '1", "1", "a,b", "(a)"]
_word = st.sampled_from(_words).map(lambda word: f'"{word}"' if "'" in word else f"'{word}'") | st.sampled_from(
    ['"a_b"', "'a", "a", "1", "''", "'a' 'b'", "NULL"]
)
_is = st.sampled_from(["=", "!=", "LIKE", "ILIKE", "like", "Ilike", "=", "<"])
_among = st.builds(
    "{} {} ({})".format,
    st.sampled_from(["name", "run_id", "tags.a", "source_path"]),
    st.sampled_from(["IN", "NOT IN", "in"]),
    st.lists(_word.filter(lambda word: word[0] + word[-1] in {"''", '""'}), max_size=3).map(", ".join),
)
_tag = st.sampled_from(["tags.a", "tag.`b c`", 'tags."a"', f"tags.`{PROMPT}`", f"tags.{PROMPT}", "tags.none"])
_compared = st.builds(
    "{} {} {}".format,
    st.sampled_from(["name", "attribute.name", "run_id", "source_path", "tags", "nothing", "current_stage"]) | _tag,
    _is,
    _word,
)
_numbered = st.builds(
    "{} {} {}".format,
    st.sampled_from(["version_number", "creation_timestamp", "last_updated_timestamp"]),
    st.sampled_from(["=", "!=", "<", ">=", "LIKE"]),
    st.sampled_from(["1", "2", "'2'", "1.5", "x"]),
)
_joined = st.sampled_from([" and ", " AND ", "  AND\n", " or ", ", "])
_clauses = st.lists(_compared | _compared | _among | _numbered, max_size=3)
_filter = st.builds(str.join, _joined, _clauses)
_order = st.lists(
    st.builds(
        "{}{}".format,
        st.sampled_from(["name", "last_updated_timestamp", "creation_timestamp", "version_number", "timestamp", ""]),
        st.sampled_from(["", " ASC", " DESC", " desc", " x"]),
    ),
    max_size=2,
)
_wanted = st.fixed_dictionaries(
    {"filter": _filter}, optional={"order_by": _order, "max_results": st.sampled_from([1, 3, 1000])}
)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(wanted=_wanted, path=st.sampled_from([MODELS, VERSIONS]))
def test_searches_of_all_kinds_find_what_mlflow_finds(both: Both, path: str, wanted: dict[str, Any]) -> None:
    query = urlencode(wanted, doseq=True)
    status, found = both.stock(path, query)
    if status != 200:
        both.left(path, query)
        return
    both.same(path, query)
    if "next_page_token" in found:
        both.get(path, **wanted, page_token=found["next_page_token"])


@pytest.mark.parametrize("path", [MODELS, VERSIONS])
@pytest.mark.parametrize(
    "wanted",
    [
        {"filter": "name ILIKE '%a%'", "max_results": 10, "order_by": ["last_updated_timestamp DESC"]},
        {"filter": "name='a_b'"}, {"filter": f"tags.`{PROMPT}` = 'true'"}, {"filter": f"tags.`{PROMPT}` != 'false'"},
        {"filter": f"tags.`{PROMPT}` = 'false'"}, {"filter": f"tags.`{PROMPT}` ILIKE 'TRUE'"},
        {"filter": f"name ILIKE '%e%' AND tags.`{PROMPT}` = 'true' AND tags.a = '1'"},
        {"max_results": "7", "page_token": ""}, {"filter": ""}, {}, {"order_by": ["name DESC"]}, {"unknown": "field"},
        {"page_token": "eyJvZmZzZXQiOiAxMDAwMH0="},
    ],
)  # fmt: skip
def test_what_the_page_asks_is_answered(both: Both, path: str, wanted: dict[str, Any]) -> None:
    both.get(path, **wanted)
    both.get(path.replace(API, AJAX), **wanted)


@pytest.mark.parametrize(
    "filter_",
    ["run_id='{}'", "run_id IN ('{}','gone')", "name = 'ä' AND version_number > 1", "source_path LIKE 's3:%'"],
)
def test_versions_of_a_run_are_found(both: Both, filter_: str) -> None:
    assert both.get(VERSIONS, filter=filter_.format(RUNS[0]))["model_versions"]


@pytest.mark.parametrize("path", [MODELS, VERSIONS])
@pytest.mark.parametrize(
    "query",
    ["&", "max_results=0", "max_results=-1", "max_results=x", "max_results=", "max_results=200001", "max_results=1.0",
     "page_token=x", "page_token=e30=", "filter=%00", "filter=name+%3D+'%00'", "order_by=", "order_by=nothing",
     "order_by=name&order_by=name", "filter=name+is+null", "filter=a&filter=", "filter=%FF"],
)  # fmt: skip
def test_what_is_odd_or_refused_is_left_to_mlflow(both: Both, path: str, query: str) -> None:
    both.left(path, query)


def test_a_number_beyond_the_column_is_left_to_mlflow(both: Both) -> None:
    both.left(VERSIONS, urlencode({"filter": "version_number = 3000000000"}))


@pytest.mark.parametrize(("path", "kind"), [(MODELS, "registered_models"), (VERSIONS, "model_versions")])
@pytest.mark.parametrize("order", [[], ["last_updated_timestamp DESC"], ["name DESC"], ["creation_timestamp"]])
def test_pages_are_walked_to_the_end(both: Both, path: str, kind: str, order: list[str]) -> None:
    if path == MODELS and order == ["creation_timestamp"]:
        both.left(path, urlencode({"order_by": order, "max_results": 4}, doseq=True))
        return
    token, seen = "", []
    while True:
        page = both.get(path, order_by=order, max_results=4, page_token=token)
        seen += [(each["name"], each.get("version")) for each in page[kind]]
        token = page.get("next_page_token", "")
        if not token:
            break
    assert len(seen) == len(set(seen)) == len(both.get(path, max_results=1000)[kind])
    assert {name for name, _ in seen} >= set(NAMES) - (set() if path == MODELS else {"no versions", "all gone"})
    assert not any(name.startswith("prompt") for name, _ in seen)


@pytest.mark.parametrize("of", ["registered-models", "model-versions"])
def test_the_plan_known_by_heart_is_the_one_upstream_makes(both: Both, of: str) -> None:
    status, body = planning.answer(orjson.dumps({"of": of, "filter": "", "order_by": []}), ())
    made = orjson.loads(body)
    assert status == 200
    given = (f"'{place['value']}'" if "value" in place else place["name"] for place in made["places"])
    assert _shape(made["statement"], given) == _shape(PLAIN[of].statement, ("offset", "limit"))


def _shape(statement: str, given: Any) -> list[str]:
    """What it says, its values in place, without what is spelled in several ways."""
    values = {str(number): value for number, value in enumerate(given, 1)}
    text = re.sub(r"\$(\d+)", lambda found: values[found[1]], " ".join(statement.split())).lower()
    text = re.sub(r"::\w+| as (?:workspace|name)\b|\b(?:registered_models|\w+_tags|model_versions)\.| asc\b", "", text)
    text = text.replace("anon_1", "prompt").replace(",", " ")
    start, _, end = text.partition(" order by ")
    order = end.partition(" offset ")[0].partition(" limit ")[0]
    joined, _, conditions = start.rpartition(" where ")
    found, _, inner = joined.rpartition(" where ")
    inner, _, outer = inner.partition(" group by ")
    parts = [found, *sorted(inner.split(" and ")), outer, *sorted(conditions.split(" and ")), order]
    return [" ".join(part.split()) for part in parts]


def test_searches_without_a_filter_need_no_plan(both: Both) -> None:
    both.planner.starting = True
    try:
        for path in (MODELS, VERSIONS):
            both.get(path, max_results=5)
            both.left(path, urlencode({"filter": "tags.never = 'asked before'"}))
    finally:
        both.planner.starting = False


def test_filters_that_differ_in_plain_words_only_share_a_plan(both: Both) -> None:
    both.get(VERSIONS, filter="name  =  'one' AND run_id='one'")
    asked = both.planner.asked
    for name, run in itertools.product(NAMES, RUNS):
        if "'" not in name:
            both.get(VERSIONS, filter=f"name  =  '{name}' AND run_id='{run}'")
    assert both.planner.asked == asked


@pytest.mark.parametrize(
    "filter_",
    ["", "name = \"x\"", "name = 'a'b'", "name = 'a''b'", "name = 'a\\'", "tags.a = 'x'", "name = 'x';",
     "name = 'a--b'", "name = 'x' OR name = 'y'", "name = 'a\nb'", "source_path = 'x'", "attribute.name = 'x'",
     "name IN ()"],
)  # fmt: skip
def test_only_plain_words_are_taken_out_of_a_filter(filter_: str) -> None:
    assert shared(filter_) == (filter_, [])


def test_a_name_that_only_others_write_is_told_in_searches(both: Both, ask: Any) -> None:
    both.registry.create_registered_model("odd")
    both.registry.create_model_version("odd", "x")
    ask("UPDATE registered_models SET creation_time = NULL, last_updated_time = 0 WHERE name = 'odd'")
    ask("UPDATE registered_models SET description = '' WHERE name = 'odd'")
    both.get(MODELS, filter="name = 'odd'")
    ask("UPDATE model_versions SET last_updated_time = NULL WHERE name = 'odd'")
    both.get(VERSIONS, filter="name LIKE 'o%'")
    both.get(VERSIONS, max_results=3)
    ask("UPDATE model_versions SET current_stage = NULL WHERE name = 'odd'")
    both.get(VERSIONS, filter="name LIKE 'o%'")
    ask("UPDATE model_versions SET current_stage = 'None', status = 'SOMETHING' WHERE name = 'odd'")
    both.left(VERSIONS, urlencode({"filter": "name LIKE 'o%'"}))
    both.left(MODELS, urlencode({"filter": "name LIKE 'o%'"}))
    ask("DELETE FROM model_versions WHERE name = 'odd'")
    ask("UPDATE registered_models SET name = 'o/dd' WHERE name = 'odd'")
    both.get(MODELS, filter="name LIKE 'o%'")
    ask("DELETE FROM registered_models WHERE name = 'o/dd'")
