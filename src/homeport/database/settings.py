"""PostgreSQL's settings for one machine, in a file of ours that the cluster's own postgresql.conf includes first.

What a user adds to postgresql.conf wins. Only where the server listens is fixed on its command line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

OURS = "homeport.conf"
_MIB = 2**20
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_limit() -> int:
    """Bytes of memory this process may use: the machine's, or less inside a container."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in _CGROUP_LIMITS:
        try:
            limit = Path(file).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if limit.isdigit():
            return min(machine, int(limit))
    return machine


def tuned(memory: int, max_connections: int) -> dict[str, str]:
    """Settings for a database that shares a machine of `memory` bytes with everything else.

    Sources: PostgreSQL 18 manual, 19.4 and 19.5; shared_buffers stays below its usual quarter because the database is
    not alone here.
    """
    mib = memory // _MIB
    return {
        "max_connections": str(max_connections),
        "shared_buffers": f"{_within(mib // 8, 32, 512)}MB",
        "effective_cache_size": f"{_within(mib // 2, 128, 65536)}MB",
        "work_mem": f"{_within(mib // 512, 4, 32)}MB",
        "maintenance_work_mem": f"{_within(mib // 32, 32, 256)}MB",
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "wal_compression": "on",
        "min_wal_size": "80MB",
        "max_wal_size": "1GB",
        "checkpoint_timeout": "15min",
        "random_page_cost": "1.1",  # solid state
        "max_logical_replication_workers": "0",
        # POSIX shared memory would outlive a killed server in /dev/shm; this goes with the cluster.
        "dynamic_shared_memory_type": "mmap",
        "jit": "off",  # compiling costs more than MLflow's short queries
        "max_parallel_workers_per_gather": "0",  # cores are shared with the tracking server
        "log_min_messages": "warning",
        "log_checkpoints": "off",
        "log_line_prefix": "'%m [%p] '",
    }


def write_ours(cluster: Path, settings: Mapping[str, str]) -> None:
    """Write our file into the cluster, whole or not at all."""
    head = (
        "# Written by Homeport at every start. Your own settings belong into postgresql.conf, below its first line:\n"
        "# they win over these.\n"
    )
    half = cluster / f"{OURS}.new"
    half.write_text(head + "".join(f"{name} = {value}\n" for name, value in settings.items()), encoding="utf-8")
    half.replace(cluster / OURS)


def include_ours(file: Path) -> None:
    """Let a fresh postgresql.conf begin with our file, and comment out what initdb chose for the same settings."""
    names = "|".join(tuned(0, 0))
    text = re.sub(rf"^({names})\b", r"#\1", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    file.write_text(
        f"include_if_exists = '{OURS}'  # Homeport's settings; yours, below, win\n\n{text}", encoding="utf-8"
    )


def server_command(binaries: Path, cluster: Path, host: str, port: int) -> list[str]:
    """The server's command line: where it listens, and that its log goes to stderr."""
    fixed = {
        "listen_addresses": host,
        "port": str(port),
        "unix_socket_directories": "",
        "logging_collector": "off",
        "log_destination": "stderr",
    }
    command = [str(binaries / "postgres"), "-D", str(cluster)]
    for name, value in fixed.items():
        command += ["-c", f"{name}={value}"]
    return command


def _within(value: int, low: int, high: int) -> int:
    return max(low, min(value, high))
