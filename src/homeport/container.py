"""The image's entry point: secrets from files into the environment a program reads, then that program, in this process.

Compose and Kubernetes mount each secret as a file; the programs read variables. `X_FILE` becomes `X`, `X_TEMPLATE`
becomes `X` with each {name} filled in, percent-encoded. This module refuses to know which program it starts and what a
secret is for.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from homeport import program
from homeport.errors import ExitCode, HomeportError

SECRETS = Path("/run/secrets")
# Kubernetes needs another: clouds mount their own tokens below /var/run/secrets, which is this very directory.
DIRECTORY = "HOMEPORT_SECRETS_DIRECTORY"
_FILE, _TEMPLATE = "_FILE", "_TEMPLATE"
_PLACE = re.compile(r"\{([A-Za-z0-9][A-Za-z0-9_.-]*)\}")


def main() -> None:
    """Become the program named on the command line, with its secrets in the environment."""
    argv = sys.argv[1:]

    def start() -> None:
        environ = resolved(os.environ, Path(os.environ.get(DIRECTORY) or SECRETS))
        program.replace(command(argv, environ), environ)

    program.run(start)


def resolved(environ: Mapping[str, str], secrets: Path = SECRETS) -> dict[str, str]:
    """The environment with what stands in secret files filled in; variables that name a secret are taken out.

    Only files in `secrets` are read: any other X_FILE belongs to the program and stays. An empty X_FILE or X_TEMPLATE
    counts as not set, as Compose writes for `${VAR:-}`.

    Raises:
        HomeportError: CONTAINER_SECRET_* when a file is missing, unreadable or empty, or X is set as well.
    """
    done = dict(environ)
    for name, value in sorted(environ.items()):
        if name.endswith(_FILE) and value and _is_secret(Path(value), secrets):
            done[_target(name, _FILE, environ)] = _read(name, Path(value))
        elif name.endswith(_TEMPLATE) and value:
            done[_target(name, _TEMPLATE, environ)] = _filled(name, value, secrets)
        else:
            continue
        del done[name]
    return done


def command(argv: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """The command with its program as a path: `python` is the one that runs this, others are looked up on PATH.

    Raises:
        HomeportError: CONTAINER_COMMAND_MISSING or CONTAINER_COMMAND_UNKNOWN.
    """
    if not argv:
        raise HomeportError(
            code="CONTAINER_COMMAND_MISSING",
            what="the container was given no command",
            why="the image holds several programs, and one must be named",
            fix="for example: docker run IMAGE homeport version",
            exit_code=ExitCode.USAGE,
        )
    first, *rest = argv
    found = sys.executable if first in ("python", "python3") else shutil.which(first, path=environ.get("PATH"))
    if not found:
        raise HomeportError(
            code="CONTAINER_COMMAND_UNKNOWN",
            what=f"there is no program `{first}` in this image",
            evidence=(("PATH", environ.get("PATH", "(not set)")),),
            fix="name a program of the image: homeport, mlflow, or python -m MODULE",
            exit_code=ExitCode.USAGE,
        )
    return [found, *rest]


def _is_secret(path: Path, secrets: Path) -> bool:
    return path.is_absolute() and path.parent == secrets


def _target(name: str, suffix: str, environ: Mapping[str, str]) -> str:
    """The variable that `name` fills, which must not be set by another way."""
    target = name.removesuffix(suffix)
    others = [other for other in (target, target + _FILE, target + _TEMPLATE) if other != name and environ.get(other)]
    if others:
        raise HomeportError(
            code="CONTAINER_SECRET_AMBIGUOUS",
            what=f"{name} and {others[0]} are both set",
            why=f"each of them says what {target} is, and they could differ",
            fix=f"unset {name} or {others[0]}",
            exit_code=ExitCode.USAGE,
        )
    return target


def _filled(name: str, text: str, secrets: Path) -> str:
    """The text with every {name} replaced by that secret, percent-encoded as inside a URI."""
    return _PLACE.sub(lambda place: quote(_read(name, secrets / place[1]), safe=""), text)


def _read(name: str, path: Path) -> str:
    """A secret without its last line break."""
    try:
        value = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else "not UTF-8 text"
        raise HomeportError(
            code="CONTAINER_SECRET_UNREADABLE",
            what=f"{name} needs the secret file {path}, which cannot be read",
            evidence=(("error", reason), ("user", f"{os.getuid()}:{os.getgid()}")),
            why="Compose mounts secrets/ beside compose.yaml into the container, Kubernetes a Secret with that key",
            fix=f"Compose: `homeport render env`, or write secrets/{path.name} (0444 in a directory 0700). "
            f"Kubernetes: put the key {path.name} into the Secret",
        ) from error
    if not value:
        raise HomeportError(
            code="CONTAINER_SECRET_EMPTY",
            what=f"{name} needs the secret file {path}, which is empty",
            why="an empty password would let everybody in, or nobody",
            fix=f"write the secret into secrets/{path.name}, or delete it and make it anew: homeport render env",
        )
    return value


if __name__ == "__main__":
    main()
