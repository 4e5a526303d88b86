from __future__ import annotations

import pandas as pd
import pytest

from homeport.training.split import split


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame({"row": range(1000), "kind": ["a", "b", "b", "b"] * 250})


def test_the_same_table_is_always_split_the_same_way(frame: pd.DataFrame) -> None:
    first, second = split(frame), split(frame.copy())
    assert first[0].equals(second[0])
    assert first[1].equals(second[1])


def test_the_held_out_rows_are_those_of_seed_42(frame: pd.DataFrame) -> None:
    # A champion is scored on these rows: others would be rows it has learned from.
    assert split(frame)[1]["row"].head(5).tolist() == [521, 737, 740, 660, 411]


def test_a_fifth_is_held_out_and_every_row_is_on_one_side(frame: pd.DataFrame) -> None:
    train, test = split(frame)
    assert (len(train), len(test)) == (800, 200)
    assert sorted([*train["row"], *test["row"]]) == list(range(1000))


def test_a_stratified_split_keeps_the_shares(frame: pd.DataFrame) -> None:
    for part in split(frame, stratify="kind"):
        assert (part["kind"] == "a").mean() == pytest.approx(0.25)
