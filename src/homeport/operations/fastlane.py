"""Whether the tracking server answers hot calls itself, as it says at `/ready`. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from homeport.operations import server
from homeport.operations.doctor import Check

NAME = "fast lane"
_WANTED_OFF = "HOMEPORT_FASTLANE is off"


def examine(uri: str, environ: Mapping[str, str]) -> Iterator[Check]:
    """One row; none where the server does not say, as stock MLflow and a server far away do not."""
    try:
        told = server.ready(uri, environ).get("fast_lane")
    except OSError:
        return  # the other rows say so
    if not isinstance(told, dict):
        return
    why = str(told.get("why", ""))
    if told.get("on"):
        yield Check(NAME, "pass", "hot calls are answered without MLflow")
    elif why == _WANTED_OFF:
        yield Check(NAME, "pass", f"off: {why}")
    else:
        yield Check(NAME, "warn", f"off, all is answered by MLflow: {why}", "see docs/how-to/fast-lane.md")
