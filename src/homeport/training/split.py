"""Which rows are held out: a fifth, always the same ones for the same table.

What is learned from the others it refuses to know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn.model_selection import train_test_split

from homeport.training.options import HELD_OUT, SPLIT_SEED

if TYPE_CHECKING:
    import pandas as pd


def split(frame: pd.DataFrame, stratify: str = "") -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows to learn from (80 %) and the held-out rows (20 %, rounded up).

    Args:
        frame: the table, shape (rows, columns).
        stratify: the column of which both parts get the same share of every value; empty for none.
    """
    classes = frame[stratify] if stratify else None
    train, test = train_test_split(frame, test_size=HELD_OUT, random_state=SPLIT_SEED, stratify=classes)
    return train, test
