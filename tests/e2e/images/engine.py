"""The Docker engine of this machine, asked through its command line. Knows nothing about which images there are."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

# Debian's docker.io 20.10 brings BuildKit with the engine, and a client that can ask for it without the buildx plugin.
DOCKER = "/usr/bin/docker" if Path("/usr/bin/docker").exists() else "docker"
LABEL = "homeport.recipe"
PULLED = ""


class NotMadeError(Exception):
    """An image could not be made; the text holds the last lines of what was tried."""


def run(argv: Sequence[str | Path], *, environ: Mapping[str, str] | None = None, timeout: float = 900) -> str:
    """Run a command and return what it printed.

    Raises:
        NotMadeError: with the last 60 lines, when it fails.
    """
    done = subprocess.run(
        list(argv),
        env=os.environ | (environ or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
    )
    if done.returncode:
        last = "\n".join(done.stdout.splitlines()[-60:])
        raise NotMadeError(f"{' '.join(map(str, argv))} ended with {done.returncode}:\n{last}")
    return done.stdout


def recipe_of(tag: str) -> str | None:
    """The recipe's hash that an image carries, PULLED when it is not one of ours; None: there is no such image."""
    asked = subprocess.run(
        [DOCKER, "image", "inspect", "--format", f'{{{{index .Config.Labels "{LABEL}"}}}}', tag],
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() if asked.returncode == 0 else None


def build(
    tag: str,
    context: Path,
    *,
    dockerfile: Path | None = None,
    recipe: str = "",
    args: Mapping[str, str] | None = None,
    secrets: Mapping[str, Path] | None = None,
    target: str = "",
    timeout: float = 900,
) -> str:
    """Build an image with BuildKit and the machine's own network; `recipe` becomes a label.

    Raises:
        NotMadeError: with the end of the build's output.
    """
    argv: list[str | Path] = [DOCKER, "build", "--progress=plain", "--network=host", "--tag", tag]
    argv += ["--file", dockerfile] if dockerfile else []
    argv += ["--label", f"{LABEL}={recipe}"] if recipe else []
    argv += ["--target", target] if target else []
    for name, value in (args or {}).items():
        argv += ["--build-arg", f"{name}={value}"]
    for name, path in (secrets or {}).items():
        argv += ["--secret", f"id={name},src={path}"]
    return run([*argv, context], environ={"DOCKER_BUILDKIT": "1"}, timeout=timeout)


def import_tar(tag: str, tar: Path, recipe: str) -> None:
    """Make an image of one layer from an archive of a root file system."""
    run([DOCKER, "import", "--change", f"LABEL {LABEL}={recipe}", "--change", 'CMD ["bash"]', tar, tag])
