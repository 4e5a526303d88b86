"""What may come instead of a version: what the registry answers, each one sentence, and a disk without room."""

from __future__ import annotations

import errno

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""The error numbers of a disk, or of a share of it, that is full."""


class RegistryAway(Exception):  # noqa: N818 - says what happened, as our other refusals do
    """Nobody answers, or it is failing: what is served stays, and is asked for again."""


class NotInRegistry(Exception):  # noqa: N818 - says what happened, as our other refusals do
    """It answers that there is no such model, version or alias."""


class RegistryRefused(Exception):  # noqa: N818 - says what happened, as our other refusals do
    """It answers that this user may not ask.

    Args:
        message: one sentence.
        status: 401 when it does not know the user at all, 403 when this one thing is refused.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status
