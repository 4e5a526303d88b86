"""Image archives for the node: what the Docker engine has, and the one image that holds a pod's namespaces."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import subprocess
import tarfile
from pathlib import Path

from homeport.services.images import POSTGRES, SEAWEEDFS
from tests.cluster.configuration import PAUSE
from tests.e2e.images.engine import DOCKER
from tests.e2e.images.homeport import HOMEPORT, LOADTEST

PLATFORM = (HOMEPORT, LOADTEST, POSTGRES, SEAWEEDFS)


def save(archive: Path) -> None:
    """Write the platform's images as the engine has them; `make images` made them."""
    done = subprocess.run(
        [DOCKER, "save", f"--output={archive}", *PLATFORM], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"docker save: {done.stderr}"


def write_pause(program: Path, archive: Path) -> None:
    """An image of one static program, in the form of `docker save`."""
    layer = _tar({"pause": program.read_bytes()}, mode=0o755)
    config = {
        "architecture": "arm64" if platform.machine() == "aarch64" else "amd64",
        "os": "linux",
        "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [PAUSE], "Layers": ["layer.tar"]}]
    archive.write_bytes(
        _tar({
            "layer.tar": layer,
            "config.json": json.dumps(config).encode(),
            "manifest.json": json.dumps(manifest).encode(),
        }, mode=0o644)
    )  # fmt: skip


def _tar(files: dict[str, bytes], mode: int) -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), mode
            archive.addfile(info, io.BytesIO(data))
    return whole.getvalue()
