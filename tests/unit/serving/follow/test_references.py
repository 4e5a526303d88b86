"""What a site may write in HOMEPORT_SERVE."""

from __future__ import annotations

import pytest

from homeport.serving.follow.references import Reference, parse


def test_every_form_is_read_in_the_order_written() -> None:
    assert parse("wine-quality@champion, penguins/3\n*@champion") == (
        Reference("wine-quality", "champion", None),
        Reference("penguins", None, "3"),
        Reference("*", "champion", None),
    )


def test_a_reference_is_written_as_it_was_read() -> None:
    for text in ("wine-quality@champion", "penguins/3", "*@champion"):
        assert [str(reference) for reference in parse(text)] == [text]


def test_duplicates_are_collapsed_and_the_first_place_is_kept() -> None:
    assert [str(r) for r in parse("b@x a/1 b@x,,a/1")] == ["b@x", "a/1"]


@pytest.mark.parametrize("text", ["", " , \n"])
def test_nothing_is_no_reference(text: str) -> None:
    assert parse(text) == ()


def test_a_name_may_hold_what_mlflow_allows() -> None:
    assert parse("prüf.modell%2F(v2)#?@champion")[0].name == "prüf.modell%2F(v2)#?"


@pytest.mark.parametrize(
    "text",
    [
        "wine",
        "@champion",
        "wine@",
        "wine/",
        "/3",
        "wine/0",
        "wine/three",
        "wine/-1",
        "wine/1/2",
        "wine@a@b",
        "wine@a/3",
        "wine@a.b",
        "wine@v3",
        "*/3",
        "*@latest",
        "models:/wine@champion",
        "models:/wine/3",
    ],
)
def test_anything_else_is_refused_with_the_forms_that_are_right(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be NAME@ALIAS, NAME/VERSION or \*@ALIAS") as error:
        parse(f"good@champion,{text}")
    assert repr(text) in str(error.value)


def test_a_reference_covers_its_own_name_and_the_star_covers_all() -> None:
    named, every = parse("wine@a *@a")
    assert named.covers("wine")
    assert not named.covers("penguins")
    assert every.covers("penguins")
