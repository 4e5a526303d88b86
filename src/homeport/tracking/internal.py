"""What the front asks the private server: questions that only upstream's own code should answer.

They come in on the private unix socket only, and the front passes no such path on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

Headers = Iterable[tuple[bytes, bytes]]
# Body and headers of the question -> status and JSON. Blocks; called in a thread.
Question = Callable[[bytes, Headers], tuple[int, bytes]]

PREFIX = "/homeport/internal/"


def questions() -> dict[str, Question]:
    """Path -> who answers."""
    from homeport.tracking import permissions, planning

    return {
        f"{PREFIX}plan": planning.answer,
        f"{PREFIX}permits": permissions.answer,
        f"{PREFIX}forget": permissions.forget,
    }
