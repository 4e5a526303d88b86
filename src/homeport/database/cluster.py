"""A PostgreSQL cluster on disk: absent, usable, or refused with the reason. Never initialises over anything.

Refuses to know how a cluster is made and how it is served.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path

from homeport.errors import HomeportError

STAGING = "cluster.init-"  # prefix of the directories in which clusters are made
_MIB = 2**20
SPACE_FOR_NEW, _SPACE_TO_RUN = 96 * _MIB, 32 * _MIB  # a new cluster is 40 MiB and 16 MiB of log; running: two logs
_CONTROL_FILE_SIZE = 8192  # bytes, PG_CONTROL_FILE_SIZE


def prepare(data: Path) -> None:
    """Make the volume's directory when it is missing, and see that it can be written.

    Raises:
        HomeportError: DATABASE_NOT_WRITABLE.
    """
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = data / f".homeport-probe-{os.getpid()}"
        probe.touch(mode=0o600)
        probe.unlink()
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise full(data, _SPACE_TO_RUN) from error
        read_only = error.errno == errno.EROFS
        mend = "mount its file system writable" if read_only else f"sudo chown -R {os.geteuid()} '{data}'"
        raise HomeportError(
            code="DATABASE_NOT_WRITABLE",
            what="the database's directory cannot be written",
            evidence=(("directory", str(data)), ("error", error.strerror or str(error))),
            why="it belongs to another user, is no directory, or its file system is read-only",
            fix=f"{mend}, or keep the data elsewhere: HOMEPORT_HOME",
        ) from error


def remove_left_behind(data: Path) -> None:
    """Remove what an interrupted initialisation left: it never became a cluster."""
    for directory in data.glob(f"{STAGING}*"):
        shutil.rmtree(directory, ignore_errors=True)


def is_absent(cluster: Path) -> bool:
    """Whether there is nothing yet, not even a file, where the cluster belongs."""
    try:
        return not any(cluster.iterdir())
    except FileNotFoundError:
        return True
    except NotADirectoryError:
        return False


def check(cluster: Path, major: int) -> None:
    """See that the cluster can be served by PostgreSQL `major`; closes it to other users when it is open.

    Raises:
        HomeportError: DATABASE_DAMAGED, DATABASE_NOT_OWNED, or DATABASE_VERSION with what is needed and found.
    """
    try:
        found = _version(cluster)
        _check_control_file(cluster)
        _check_owner(cluster)
    except PermissionError as error:
        raise not_owned(cluster, error.strerror) from error
    if found != major:
        raise HomeportError(
            code="DATABASE_VERSION",
            what=f"the database was made by PostgreSQL {found}, and PostgreSQL {major} cannot read it",
            evidence=(("directory", str(cluster)), ("needed", f"PostgreSQL {found}"), ("found", f"PostgreSQL {major}")),
            why="the layout of the files changes with every major version",
            fix=f"set HOMEPORT_POSTGRES_BIN to PostgreSQL {found}'s bin directory; to move to {major}: "
            "pg_dump with the old one, then pg_restore into a new home",
        )


def check_space(data: Path, *, new: bool) -> None:
    """See that the file system has room.

    Raises:
        HomeportError: DATABASE_DISK_FULL with what is needed and found.
    """
    needed = SPACE_FOR_NEW if new else _SPACE_TO_RUN
    if _free(data) < needed:
        raise full(data, needed)


def full(data: Path, needed: int) -> HomeportError:
    """The error for a disk without `needed` bytes."""
    return HomeportError(
        code="DATABASE_DISK_FULL",
        what="the database's disk is full",
        evidence=(
            ("directory", str(data)),
            ("needed", f"{needed // _MIB} MiB"),
            ("found", f"{_free(data) / _MIB:.0f} MiB"),
        ),
        why="PostgreSQL stops when it cannot write its log",
        fix="free space on that disk, or keep the data on another one: HOMEPORT_HOME",
    )


def not_owned(cluster: Path, detail: str | None = None) -> HomeportError:
    """The error for a cluster of another user."""
    return HomeportError(
        code="DATABASE_NOT_OWNED",
        what="the database belongs to another user",
        evidence=(
            ("directory", str(cluster)),
            ("needed", f"user id {os.geteuid()}"),
            ("found", _owner(cluster, detail)),
        ),
        why="PostgreSQL serves only files of the user it runs as; it was started as another one before",
        fix=f"start as that user, or: sudo chown -R {os.geteuid()} '{cluster.parent}'",
    )


def damaged(cluster: Path, detail: str) -> HomeportError:
    """The error for a cluster that lacks what every cluster has."""
    return HomeportError(
        code="DATABASE_DAMAGED",
        what="the database's files are not complete, and nothing was changed in them",
        evidence=(("directory", str(cluster)), ("missing", detail)),
        why="files were deleted, only part of them was copied, or something else lies where the database belongs",
        fix="put your copy of the directory back; or move the directory away and start with an empty database",
    )


def _version(cluster: Path) -> int:
    try:
        text = (cluster / "PG_VERSION").read_text(encoding="ascii").strip()
        return int(text)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise damaged(cluster, "PG_VERSION" if cluster.is_dir() else "it is not a directory") from error
    except IsADirectoryError as error:
        raise damaged(cluster, "PG_VERSION is not a file") from error
    except ValueError as error:
        raise damaged(cluster, "PG_VERSION holds no version number") from error


def _check_control_file(cluster: Path) -> None:
    file = cluster / "global" / "pg_control"
    try:
        size = file.stat().st_size
    except (FileNotFoundError, NotADirectoryError) as error:
        raise damaged(cluster, "global/pg_control") from error
    if size != _CONTROL_FILE_SIZE:
        raise damaged(cluster, f"global/pg_control is {size} bytes long, needed {_CONTROL_FILE_SIZE}")


def _check_owner(cluster: Path) -> None:
    found = cluster.stat()
    if found.st_uid != os.geteuid():
        raise not_owned(cluster)
    # PostgreSQL refuses a directory that others may enter; a copy or a volume's group rights can have opened it.
    if stat.S_IMODE(found.st_mode) & 0o027:
        cluster.chmod(0o700)


def _free(data: Path) -> int:
    found = os.statvfs(data)
    return found.f_bavail * found.f_frsize


def _owner(cluster: Path, detail: str | None) -> str:
    try:
        return f"user id {cluster.stat().st_uid}"
    except OSError:
        return detail or "a directory that is closed to this user"
