"""The directory a project lives in: compose.yaml, its overlays, .env and secrets/.

Says which files Compose is to read and what it fills them from. Writes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from homeport.errors import ExitCode, HomeportError
from homeport.render.variants import BASE, chosen
from homeport.render.variants import files as files_of
from homeport.settings import Settings, knobs

OVERRIDE = "compose.override.yaml"
_OURS = frozenset({".env", "homeport.toml", "secrets", OVERRIDE})  # what may be there before compose.yaml is


@dataclass(frozen=True)
class Place:
    """A project's directory.

    Args:
        directory: absolute.
        named: whether the user named it, so that files may be written there.
    """

    directory: Path
    named: bool

    @property
    def made(self) -> bool:
        """Whether there is a compose.yaml."""
        return (self.directory / BASE).is_file()

    def files(self, settings: Settings, environ: Mapping[str, str]) -> tuple[str, ...]:
        """The Compose files that the settings ask for; none when COMPOSE_FILE names them already.

        Raises:
            HomeportError: RENDER_COMBINATION; COMPOSE_FILE_MISSING; COMPOSE_FILE_DIFFERS.
        """
        wanted = files_of(chosen(settings))
        named = environ.get("COMPOSE_FILE") or _in_dotenv(self.directory, "COMPOSE_FILE")
        if named:
            there = {Path(name).name for name in re.split("[:;]", named)}
            if lacking := [name for name in wanted if name not in there]:
                raise HomeportError(
                    code="COMPOSE_FILE_DIFFERS",
                    what=f"the settings ask for {', '.join(lacking)}, and COMPOSE_FILE does not name it",
                    evidence=(("needed", ":".join(wanted)), ("found", named)),
                    why="COMPOSE_FILE says which files Compose reads",
                    fix=f"set it in {self.directory / '.env'}, or remove it there and run: homeport render env",
                    exit_code=ExitCode.USAGE,
                )
            return ()
        for name in wanted:
            if not (self.directory / name).is_file():
                raise HomeportError(
                    code="COMPOSE_FILE_MISSING",
                    what=f"there is no {name}",
                    evidence=(("directory", str(self.directory)),),
                    why="the settings ask for it",
                    fix=f"homeport render compose --directory {self.directory}",
                    exit_code=ExitCode.USAGE,
                )
        own = (OVERRIDE,) if (self.directory / OVERRIDE).is_file() else ()
        return tuple(str(self.directory / name) for name in (*wanted, *own))

    def check(self) -> None:
        """See that files may be written here.

        Raises:
            HomeportError: COMPOSE_DIRECTORY.
        """
        if self.made or self.named or not self.directory.is_dir():
            return
        others = sorted(path.name for path in self.directory.iterdir() if path.name not in _OURS)
        if others:
            raise HomeportError(
                code="COMPOSE_DIRECTORY",
                what=f"there is no {BASE} in this directory",
                evidence=(("directory", str(self.directory)), ("found", ", ".join(others[:5]))),
                why="Homeport writes its files only into an empty directory, or into one that is named",
                fix="homeport up --target compose --directory ~/homeport",
                exit_code=ExitCode.USAGE,
            )


def environment(settings: Settings, ambient: Mapping[str, str]) -> dict[str, str]:
    """What Compose fills its files' variables from, besides .env: the caller's environment and what else was set.

    Secrets are left out: containers get them as files.
    """
    from homeport import layers

    environ = layers.without_exported(dict(ambient))
    for item in knobs():
        if item.is_secret or settings.source(item.name) in {"default", "environment", ".env"}:
            continue
        environ[item.env] = item.written(getattr(settings, item.name))
    return environ


def _in_dotenv(directory: Path, name: str) -> str:
    from homeport import layers

    return layers.dotenv(directory / ".env").get(name, "")
