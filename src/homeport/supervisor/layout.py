"""Where a home keeps its things: data, logs, run and secrets, all private to their owner (0700).

Pure paths, and one method that makes the directories. Refuses to know what is written into them.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from homeport.errors import HomeportError
from homeport.supervisor.files import disk_error

_SUN_PATH = 100
"""Bytes a socket's path may have everywhere: 104 on macOS and 108 on Linux, the final zero included, with some air."""

_PRIVATE = 0o700


@dataclass(frozen=True)
class Home:
    """One Homeport's directory. `root` is made absolute; nothing is created until `create`."""

    root: Path

    def __post_init__(self) -> None:
        """Make the root absolute: children run with another working directory."""
        object.__setattr__(self, "root", Path(os.path.abspath(Path(self.root).expanduser())))  # noqa: PTH100 - resolve() would follow links

    @property
    def data(self) -> Path:
        """Volumes, one directory each."""
        return self.root / "data"

    @property
    def logs(self) -> Path:
        """One log a service, rotated."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """What only matters while Homeport runs."""
        return self.root / "run"

    @property
    def secrets(self) -> Path:
        """Generated secrets, one file each."""
        return self.root / "secrets"

    @property
    def lock(self) -> Path:
        """Held for life by the daemon that owns the home."""
        return self.run / "lock"

    @property
    def warden_lock(self) -> Path:
        """Held by the warden for life: whoever comes next waits until it has cleaned up."""
        return self.run / "warden.lock"

    @property
    def state(self) -> Path:
        """What runs, rewritten on each change."""
        return self.run / "state.json"

    @property
    def failure(self) -> Path:
        """Why the last start failed; absent when it did not."""
        return self.run / "failure.json"

    @property
    def ports(self) -> Path:
        """Free ports that were chosen, to be chosen again."""
        return self.run / "ports.json"

    @property
    def timings(self) -> Path:
        """When each part of the last start began and was ready."""
        return self.run / "timings.json"

    @property
    def reasons(self) -> Path:
        """Where a process may explain why it fails."""
        return self.run / "reasons"

    @property
    def given(self) -> Path:
        """Files of secrets that the user set, for programs that take a file."""
        return self.run / "secrets-given"

    @property
    def socket(self) -> Path:
        """The control socket: in the home if its path is short enough, else in a private directory in /tmp."""
        near = self.run / "control.sock"
        if len(os.fsencode(near)) <= _SUN_PATH:
            return near
        import hashlib  # 5 ms, and few homes need it

        digest = hashlib.sha256(os.fsencode(os.path.realpath(self.root))).hexdigest()[:12]
        return Path(f"/tmp/homeport-{os.getuid()}") / f"{digest}.sock"  # noqa: S108 - private: check_socket_directory

    def log(self, name: str) -> Path:
        """The log of one service or job."""
        return self.logs / f"{name}.log"

    def scratch(self, name: str) -> Path:
        """The temporary directory of one service: emptied at each start, gone when it stops."""
        return self.run / "tmp" / name

    def reason(self, name: str) -> Path:
        """The file in which one service may explain its failure."""
        return self.reasons / f"{name}.json"

    def create(self) -> None:
        """Make every directory, private whatever the umask is.

        Raises:
            HomeportError: HOME_NOT_A_DIRECTORY, HOME_NOT_WRITABLE, DISK_FULL or SOCKET_DIRECTORY_NOT_PRIVATE.
        """
        if self.root.exists() and not self.root.is_dir():
            raise HomeportError(
                code="HOME_NOT_A_DIRECTORY",
                what=f"{self.root} is a file, and Homeport keeps a directory there",
                fix="move the file away, or set HOMEPORT_HOME to another path",
            )
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=_PRIVATE)
            for directory in (self.data, self.logs, self.run, self.secrets, self.reasons, self.given):
                private(directory)
            probe = self.run / f".writable-{os.getpid()}"  # two starts at once each have their own
            probe.write_bytes(b"homeport")
            probe.unlink()
        except OSError as error:
            raise disk_error(error, f"{self.root} cannot be used as a home") from error
        self.check_socket_directory(create=True)

    def check_socket_directory(self, *, create: bool = False) -> None:
        """Refuse a socket directory that another user could have prepared.

        Raises:
            HomeportError: SOCKET_DIRECTORY_NOT_PRIVATE when it is a link, belongs to another user or is open to others.
        """
        directory = self.socket.parent
        try:
            if create and directory != self.run:
                directory.mkdir(mode=_PRIVATE, exist_ok=True)
            found = directory.lstat()
        except FileNotFoundError:
            return
        except OSError as error:
            raise disk_error(error, f"{directory} cannot hold the control socket") from error
        mode = stat.S_IMODE(found.st_mode)
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not mode & 0o077:
            return
        raise HomeportError(
            code="SOCKET_DIRECTORY_NOT_PRIVATE",
            what=f"{directory} is not a private directory of this user",
            why=f"needed: uid {os.getuid()}, mode 0700; found: uid {found.st_uid}, mode {mode:04o}",
            fix=f"chmod 700 {directory}, or remove it if it is not yours",
        )


def private(directory: Path) -> None:
    """Make a directory with mode 0700; one that exists and is ours is closed to others."""
    directory.mkdir(mode=_PRIVATE, exist_ok=True, parents=True)
    found = directory.stat()
    if found.st_uid == os.getuid() and stat.S_IMODE(found.st_mode) & 0o077:
        directory.chmod(_PRIVATE)
