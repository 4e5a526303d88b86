"""The gateway's own CA on the client's side: a copy of its certificate, and one bundle that holds it and all others.

A program that is told of one CA file trusts nobody else; so ours comes in a bundle with those it trusts already.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path

CA, BUNDLE = "ca.pem", "ca-bundle.pem"
VARIABLES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE")
_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def environ(ca: Path, ambient: Mapping[str, str]) -> dict[str, str]:
    """The variables that make MLflow's client, requests, Python's ssl and curl trust the gateway.

    The bundle is written anew from what this machine trusts now; nothing is set where the platform has no CA.
    """
    if not ca.is_file():
        return {}
    bundle = ca.with_name(BUNDLE)
    blocks = list(dict.fromkeys(block for file in (ca, *_trusted(bundle, ambient)) for block in _blocks(file)))
    _write(bundle, "\n".join(blocks) + "\n")
    return {"MLFLOW_TRACKING_SERVER_CERT_PATH": str(ca), **dict.fromkeys(VARIABLES, str(bundle))}


def _trusted(bundle: Path, ambient: Mapping[str, str]) -> Iterable[Path]:
    """Files with what programs here trust now: what the caller names, the system's, and Python's own."""
    paths = ssl.get_default_verify_paths()
    named = [ambient.get(name, "") for name in VARIABLES]
    for path in (*named, paths.openssl_cafile, "/etc/ssl/certs/ca-certificates.crt", _certifi()):
        if path and Path(path) != bundle and Path(path).is_file():
            yield Path(path)


def _certifi() -> str:
    try:
        import certifi
    except ImportError:
        return ""
    return certifi.where()


def _blocks(file: Path) -> list[str]:
    try:
        return _BLOCK.findall(file.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return []


def _write(path: Path, text: str) -> None:
    """Whole or not at all: another program may be reading it."""
    try:
        if path.read_text(encoding="utf-8") == text:
            return
    except OSError:
        pass
    half = path.with_name(f".{path.name}.{os.getpid()}")
    half.write_text(text, encoding="utf-8")
    half.chmod(0o644)
    half.replace(path)
