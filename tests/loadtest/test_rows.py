from __future__ import annotations

from pathlib import Path

import pytest

from homeport.errors import HomeportError
from loadtest import rows

SPLIT = {"dataframe_split": {"columns": ["fixed_acidity", "pH"], "data": [[7.0, 3.0], [6.3, 3.3]]}}


def test_an_example_is_a_table_in_either_form() -> None:
    assert rows.columns(SPLIT) == (["fixed_acidity", "pH"], [[7.0, 3.0], [6.3, 3.3]])
    assert rows.columns({"dataframe_records": [{"a": 1, "b": "x"}]}) == (["a", "b"], [[1, "x"]])


def test_an_example_that_is_no_table_is_refused() -> None:
    with pytest.raises(HomeportError, match="LOADTEST_EXAMPLE"):
        rows.columns({"inputs": [[1.0]]})


def test_drawn_rows_are_near_the_example_keep_its_types_and_are_the_same_in_every_process() -> None:
    drawn = rows.drawn([[10.0, 50, "red", True]], 200)
    assert drawn == rows.drawn([[10.0, 50, "red", True]], 200)
    assert len({row[0] for row in drawn}) > 100
    for number, whole, text, truth in drawn:
        assert 9 <= number <= 11
        assert 45 <= whole <= 55
        assert (type(whole), text, truth) == (int, "red", True)


@pytest.mark.parametrize("mark", [",", ";"])
def test_columns_of_a_file_are_found_by_name(tmp_path: Path, mark: str) -> None:
    file = tmp_path / "wine.csv"
    file.write_text('"quality";"ph";"Fixed Acidity"\n6;3.1;7.2\n5;3.2;7.4\n'.replace(";", mark))
    assert rows.from_csv(file, ["fixed_acidity", "pH"], [7.0, 3.0]) == [[7.2, 3.1], [7.4, 3.2]]


@pytest.mark.parametrize(
    ("text", "said"),
    [("a,b\n", "no row"), ("a,b\n1,2\n", "no column pH"), ("pH\nacid\n", "acid"), ("pH\n\xff", "utf-8")],
)
def test_a_file_that_does_not_fit_is_refused_and_says_why(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "wine.csv"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(HomeportError) as refused:
        rows.from_csv(file, ["pH"], [3.0])
    assert said in refused.value.why
