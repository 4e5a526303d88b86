"""From when on the runs of a page started, as far as the last answer told: a guess, which the next answer proves.

PostgreSQL would sort all runs of an experiment, and newer ones come last, which is the worst order for it. Told to look
only at runs that started at the guess or later, it reads and sorts a page of them (`tracking/newest_runs.py`).
Where the page is full, no older run belongs on it; where it is not, the guess was wrong and all runs are asked for.
Refuses to know runs: no answer is made of what is remembered here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

EVER = -(2**63)  # ms
_REMEMBERED = 1000


class Since:
    """Guesses by what was asked."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, int] = OrderedDict()

    def guess(self, asked: Hashable) -> int:
        """When the last run of that page started the last time it was asked for, in ms; `EVER` if that is not known."""
        return self._known.get(asked, EVER)

    def learn(self, asked: Hashable, started: int | None) -> None:
        """The last run of a full page started then."""
        if started is None:
            self._known.pop(asked, None)
            return
        self._known[asked] = started
        self._known.move_to_end(asked)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
