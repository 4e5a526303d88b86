from __future__ import annotations

import io
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import given, settings
from hypothesis import strategies as st

from homeport.render.dotenv import GROUPS, appended, assignment, described, example, missing_from, variables
from homeport.render.text import block
from homeport.render.values import literal
from tests.unit.render.composed import configured, written

ANY = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\u2028\u2029"), max_size=60)


def test_every_variable_of_the_files_stands_in_one_group() -> None:
    listed = Counter(name for names in GROUPS.values() for name in names)
    assert listed.keys() == variables().keys()
    assert set(listed.values()) == {1}


def test_every_line_has_its_help_and_shows_the_default_that_holds() -> None:
    text = example()
    assert "#HOMEPORT_HTTP_PORT=80\n" in text
    assert "#HOMEPORT_AUTH=basic\n" in text
    assert "#HOMEPORT_PREDICTION_LOG=1.0\n" in text
    assert "\nDOMAIN=localhost\n" in text
    assert [line for line in text.splitlines() if line and not line.startswith("#")] == ["DOMAIN=localhost"]
    for variable in variables().values():
        assert variable.help.endswith("."), variable.name


def test_no_variable_of_a_secret_is_offered() -> None:
    assert not [name for name in variables() if any(word in name for word in ("PASSWORD", "SECRET_", "_KEY", "URI"))]


def test_a_file_that_names_everything_is_left_as_it_is() -> None:
    assert missing_from(example()) == []
    assert appended(example(), [], {}) == example()


def test_what_is_missing_is_appended_below_what_is_there() -> None:
    before = "DOMAIN=example.org  # ours\nexport HOMEPORT_SERVE=a@b"
    after = appended(before, missing_from(before), {"HOMEPORT_BUCKET": "models"})
    assert after.startswith(before + "\n\n# --- Added by homeport render env ")
    values = dotenv_values(stream=io.StringIO(after))
    assert values == {"DOMAIN": "example.org", "HOMEPORT_SERVE": "a@b", "HOMEPORT_BUCKET": "models"}
    assert missing_from(after) == []


def test_what_is_required_does_not_stay_a_comment() -> None:
    assert "\nDOMAIN=localhost\n" in appended("A=1\n", missing_from("A=1\n"), {})


@pytest.mark.parametrize("value", ["it's", "a\\b", "$HOME", "two\nlines"])
def test_a_value_that_compose_and_we_would_read_differently_is_not_written(value: str) -> None:
    with pytest.raises(ValueError, match="no ' "):
        assignment("A", value)


def test_a_help_of_many_words_is_wrapped_and_each_line_a_comment() -> None:
    variable = next(v for v in variables().values() if len(v.help) > 130)
    assert all(line.startswith("#") and len(line) <= 112 for line in described(variable))


@settings(max_examples=8, deadline=None)
@given(st.lists(ANY, min_size=20, max_size=40))
def test_any_text_of_a_setting_comes_out_of_compose_as_it_went_in(texts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        service = {"image": "one", "environment": {f"V{i}": literal(text) for i, text in enumerate(texts)}}
        (directory / "one.yaml").write_text("\n".join(block({"name": "test", "services": {"one": service}})))
        found = configured(directory, ["one.yaml"])
        environment = found["services"]["one"]["environment"]
        # `config` prints what could be read again, hence `$$`.
        assert [environment[f"V{i}"].replace("$$", "$") for i in range(len(texts))] == texts


@settings(max_examples=8, deadline=None)
@given(st.lists(ANY.filter(lambda text: not set(text) & set("'\\$")), min_size=20, max_size=40))
def test_any_value_written_into_env_is_read_alike_by_compose_and_by_us(texts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        lines = [assignment(f"V{i}", text) for i, text in enumerate(texts)]
        (directory / ".env").write_text("\n".join(lines) + "\n", encoding="utf-8")
        service = {"image": "one", "environment": {f"V{i}": f"${{V{i}-}}" for i in range(len(texts))}}
        found = configured(directory, [written(directory, {"name": "test", "services": {"one": service}})])
        values = found["services"]["one"]["environment"]
        assert [values[f"V{i}"] for i in range(len(texts))] == texts
        assert list(dotenv_values(directory / ".env").values()) == texts
