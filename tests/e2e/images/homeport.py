"""Homeport's own images, built as a user builds them, but on the stand-in of their base."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import homeport
from homeport.services import images
from tests.e2e.images import engine, stand_ins

ROOT = Path(__file__).resolve().parents[3]
HOMEPORT = f"homeport:{homeport.__version__}"
"""The tag compose.yaml falls back to."""
LOADTEST = f"homeport-loadtest:{homeport.__version__}"
"""The same of the load test, which is made on top of ours."""
_CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


def make_homeport(
    tag: str = HOMEPORT,
    *,
    say: Callable[[str], None] = print,
    args: Mapping[str, str] | None = None,
) -> str:
    """Build the image with the machine's own certificates; the engine's cache makes a second time instant.

    Args:
        tag: what it is called.
        say: told what was made.
        args: build arguments beside the base.

    Returns:
        The tag.

    Raises:
        NotMadeError: with the end of the build's output.
    """
    stand_ins.make(["python"], say=say)
    output = engine.build(
        tag,
        ROOT,
        dockerfile=ROOT / "images" / "homeport" / "Dockerfile",
        args={"PYTHON_IMAGE": images.PYTHON, "VERSION": homeport.__version__, **(args or {})},
        secrets=_secrets(),
        timeout=1800,
    )
    if "HOMEPORT_IMAGE_LOG" in os.environ:
        Path(os.environ["HOMEPORT_IMAGE_LOG"]).write_text(output, encoding="utf-8")
    say(f"made {tag}")
    return tag


def make_loadtest(base: str = HOMEPORT, *, say: Callable[[str], None] = print) -> str:
    """Build the load test's image on top of ours, which must be there as `base`; returns the tag.

    Raises:
        NotMadeError: with the end of the build's output.
    """
    engine.build(
        LOADTEST,
        ROOT,
        dockerfile=ROOT / "images" / "loadtest" / "Dockerfile",
        args={"PYTHON_IMAGE": images.PYTHON, "HOMEPORT_IMAGE": base},
        secrets=_secrets(),
        timeout=1800,
    )
    say(f"made {LOADTEST}")
    return LOADTEST


def _secrets() -> dict[str, Path]:
    return {"ca-bundle": _certificates()} if _certificates().exists() else {}


def _certificates() -> Path:
    return Path(os.environ.get("SSL_CERT_FILE") or _CA_BUNDLE)
