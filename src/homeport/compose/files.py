"""What a start makes that is not there yet: the rendered files where there are none, `.env` and the secrets.

The same code as `homeport render compose` and `homeport render env`. Nothing that is there is ever written over.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from homeport.compose.place import Place
from homeport.errors import ExitCode, HomeportError
from homeport.render import site
from homeport.render.files import every

_REMEMBERED = """
# --- Which platform the command `homeport` means in this directory
HOMEPORT_TARGET=compose
"""


def make(place: Place) -> Iterator[Path]:
    """Make what is missing and yield each file that was written.

    Raises:
        HomeportError: HOME_NOT_WRITABLE; SETTING_INVALID; SITE_INCOMPLETE when only the user can give what is missing.
    """
    new = not place.made
    if new:
        yield from _rendered(place.directory)
    outcome = site.make(place.directory)
    if new and site.ENV in outcome.made:
        with (place.directory / site.ENV).open("a", encoding="utf-8") as stream:
            stream.write(_REMEMBERED)
    for name in (*outcome.made, *([site.ENV] if outcome.added and site.ENV not in outcome.made else [])):
        yield place.directory / name
    if outcome.needed:
        raise HomeportError(
            code="SITE_INCOMPLETE",
            what=f"{outcome.needed[0][0]} is not there" if len(outcome.needed) == 1 else "settings are missing",
            evidence=tuple(outcome.needed),
            why="only you can give it",
            fix=f"add it in {place.directory}, then: homeport up --target compose",
            exit_code=ExitCode.USAGE,
        )


def _rendered(directory: Path) -> Iterator[Path]:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, text in every().items():
            file = directory / name
            if not file.exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
                yield file
    except OSError as error:
        raise HomeportError(
            code="HOME_NOT_WRITABLE",
            what="the files for Compose cannot be written",
            evidence=(("directory", str(directory)), ("error", error.strerror or str(error))),
            fix="choose another directory: --directory DIR",
        ) from error
