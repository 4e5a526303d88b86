"""Whether the tracking server can do its work now: database, schema and object store, asked and briefly remembered.

Used inside the server, in a thread of its own. Every part has its own time limit, so that one that hangs does not hide
the others. Refuses to know how the answer is served.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlsplit

from homeport import program
from homeport.errors import HomeportError
from homeport.objectstore.client import Destination, client, destination
from homeport.tracking import schema
from homeport.tracking.backend_store import Connection, parse

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

GOOD_FOR, BAD_FOR = 2.0, 0.5  # seconds an answer is remembered
LEAST_FREE_MIB = 16
_PART_TIMEOUT = 3.0  # seconds until a part counts as not answering


@dataclass(frozen=True)
class Problem:
    """One reason not to be ready: which part, what it said, and what mends it."""

    part: str
    message: str
    fix: str


class Part(Protocol):
    """Something the server needs. `ask` blocks and raises HomeportError with the reason."""

    name: str

    def ask(self) -> None:
        """Return when all is well."""


class Readiness:
    """The server's readiness, one object a process; safe to make before a fork and to use after it.

    Args:
        backend_store_uri: MLflow's database.
        artifacts_destination: where artifacts go; S3 and local directories are asked, others are not.
        timeout: seconds until a part counts as not answering.
        users: whether the database must hold the users of basic-auth, too.

    A schema that this MLflow does not know is a newer one. For a server that saw its own schema once, that is an update
    under way, and it stays ready: else all old servers would turn away clients before the first new one is up.
    """

    def __init__(
        self,
        backend_store_uri: str,
        artifacts_destination: str,
        timeout: float = _PART_TIMEOUT,
        *,
        users: bool = False,
    ) -> None:
        self._uri = backend_store_uri
        self._destination = artifacts_destination
        self._timeout = timeout
        self._chains = (schema.RUNS, schema.USERS) if users else (schema.RUNS,)
        # Shared by all processes that are forked later: a worker that replaces another one knows what that one saw.
        self._was_at_head = mmap.mmap(-1, mmap.PAGESIZE)
        self._state: _State | None = None

    def check(self) -> list[Problem]:
        """What is wrong now, empty when nothing is. Blocks for as long as the slowest part, at most its time limit."""
        state = self._state
        if state is None or state.pid != os.getpid():
            # Locks, threads and connections of a parent are of no use here. Dropping a connection does not end it:
            # the drivers close only what their own process opened.
            state = self._state = _State(_parts(self._uri, self._destination, self._chains, self._was_at_head))
        with state.lock:
            if time.monotonic() >= state.good_until:
                state.problems = _ask_all(state.askers, self._timeout)
                state.good_until = time.monotonic() + (BAD_FOR if state.problems else GOOD_FOR)
            return list(state.problems)


class _State:
    """What belongs to one process."""

    def __init__(self, parts: list[Part]) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.askers = [_Asker(part) for part in parts]
        self.problems: list[Problem] = []
        self.good_until = 0.0


class _Asker:
    """Asks one part in a thread that may hang, and never starts a second while one does."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self._thread: threading.Thread | None = None
        self._problem: Problem | None = None
        self._since = 0.0

    def start(self) -> None:
        """Ask, unless the last question is still open."""
        if self._thread is None or not self._thread.is_alive():
            self._since = time.monotonic()
            self._thread = threading.Thread(target=self._run, name=f"ready-{self.part.name}", daemon=True)
            self._thread.start()

    def answer(self, deadline: float) -> Problem | None:
        """The answer, or that there is none yet."""
        if self._thread is not None:
            self._thread.join(max(0.0, deadline - time.monotonic()))
            if self._thread.is_alive():
                waited = time.monotonic() - self._since
                return Problem(self.part.name, f"no answer for {waited:.1f} s", f"homeport logs {self.part.name}")
        return self._problem

    def _run(self) -> None:
        try:
            self.part.ask()
            self._problem = None
        except HomeportError as error:
            evidence = f": {error.evidence[-1][1]}" if error.evidence else ""
            self._problem = Problem(self.part.name, error.what + evidence, error.fix)
        except Exception as error:  # a readiness that fails is an answer, too
            fix = f"homeport logs {self.part.name}"
            self._problem = Problem(self.part.name, f"{type(error).__name__}: {error}", fix)


def _ask_all(askers: list[_Asker], timeout: float) -> list[Problem]:
    deadline = time.monotonic() + timeout
    for asker in askers:
        asker.start()
    return [problem for asker in askers if (problem := asker.answer(deadline)) is not None]


def _parts(uri: str, artifacts: str, chains: tuple[schema.Chain, ...], was_at_head: mmap.mmap) -> list[Part]:
    parts: list[Part] = [_Database(uri, chains, was_at_head)]
    scheme = urlsplit(artifacts).scheme
    if scheme == "s3":
        parts.append(_Bucket(destination(artifacts)))
    elif scheme in {"", "file"}:
        parts.append(_Directory(Path(unquote(urlsplit(artifacts).path) if scheme else artifacts)))
    parts.append(_Scratch())
    return parts  # others are reached through MLflow's own plugins: not checked


@dataclass
class _Database:
    """The database answers, and its schemas are those that this MLflow wants, or were and are newer now."""

    uri: str = field(repr=False)
    chains: tuple[schema.Chain, ...]
    was_at_head: mmap.mmap = field(repr=False)  # a byte for each chain: whether it was seen
    name: str = "database"
    _connection: Connection | None = field(default=None, init=False, repr=False)

    def ask(self) -> None:
        revisions = self._kept_revisions()
        if revisions is None:
            store = parse(self.uri)
            connection = self._connection = store.connect(timeout=_PART_TIMEOUT)
            revisions = [schema.state(store, connection, chain).revision for chain in self.chains]
        for index, (chain, found) in enumerate(zip(self.chains, revisions, strict=True)):
            wanted = schema.head(chain)
            if found == wanted:
                self.was_at_head[index] = 1
            elif not (self.was_at_head[index] and found is not None and found not in schema.revisions(chain)):
                raise HomeportError(
                    code="SCHEMA_NOT_AT_HEAD",
                    what="the database's schema is not the one this MLflow needs",
                    evidence=(("revisions", f"needed {wanted}, found {found or 'none'}"),),
                    fix="homeport restart",
                )

    def _kept_revisions(self) -> list[str | None] | None:
        """The revisions, by the connection of the last time; None when that was cut."""
        if self._connection is None:
            return None
        try:
            return [schema.revision(self._connection, chain) for chain in self.chains]
        except Exception:  # whatever it was, a new connection tells it better
            with contextlib.suppress(Exception):
                self._connection.close()
            self._connection = None
            return None


@dataclass
class _Bucket:
    """The bucket exists and the keys may use it."""

    place: Destination
    name: str = "objectstore"
    _client: S3Client | None = field(default=None, init=False, repr=False)

    def ask(self) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        from homeport.objectstore.refusal import refusal

        endpoint = os.environ.get("MLFLOW_S3_ENDPOINT_URL") or None
        try:
            self._client = self._client or self._make(endpoint)
            self._client.head_bucket(Bucket=self.place.bucket)
        except (BotoCoreError, ClientError, ValueError, RecursionError) as error:
            raise refusal(error, self.place, endpoint, _PART_TIMEOUT) from error

    def _make(self, endpoint: str | None) -> S3Client:
        access_key = os.environ.get("AWS_ACCESS_KEY_ID") or None
        return client(
            endpoint=endpoint,
            access_key=access_key,
            secret_key=program.secret("AWS_SECRET_ACCESS_KEY") if access_key else None,
            region=os.environ.get("AWS_DEFAULT_REGION") or None,
            verify=os.environ.get("MLFLOW_S3_IGNORE_TLS", "").lower() not in {"1", "true"},
            connect_timeout=_PART_TIMEOUT,
            read_timeout=_PART_TIMEOUT,
        )


@dataclass
class _Scratch:
    """There is room for the temporary files through which MLflow passes every artifact."""

    name: str = "disk"

    def ask(self) -> None:
        directory = tempfile.gettempdir()
        free = shutil.disk_usage(directory).free // 2**20
        if free < LEAST_FREE_MIB:
            raise HomeportError(
                code="DISK_FULL",
                what="uploads would fail: no room for temporary files",
                evidence=(("space", f"{LEAST_FREE_MIB} MiB needed, {free} MiB free in {directory}"),),
                fix="free some space there",
            )


@dataclass
class _Directory:
    """The artifact directory exists and can be written."""

    path: Path
    name: str = "objectstore"

    def ask(self) -> None:
        if not self.path.is_dir() or not os.access(self.path, os.W_OK | os.X_OK):
            found = "not writable" if self.path.is_dir() else "not there"
            raise HomeportError(
                code="ARTIFACTS_NOT_WRITABLE",
                what=f"the artifact directory {self.path} is {found}",
                fix=f"make it and let this user write it: mkdir -p '{self.path}'",
            )
