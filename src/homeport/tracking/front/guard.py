"""Who may have a call answered by the front where logins are asked for: whoever MLflow let do the same a moment ago.

MLflow itself decides (`tracking/permissions.py`, in the private server); what it allowed is remembered for a few
seconds, what it refused never. Refuses to know what calls do, and any password.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import secrets
import time
from collections.abc import Callable, Coroutine, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

from homeport.tracking.fast.database import Database
from homeport.tracking.front.call import Call, Guard, Route, Subject
from homeport.tracking.front.changes import Changes
from homeport.tracking.front.private import Private
from homeport.tracking.front.subjects import About, about
from homeport.tracking.gate import is_open
from homeport.tracking.internal import PREFIX
from homeport.tracking.permissions import question

if TYPE_CHECKING:
    from homeport.tracking.server import ServerConfig

# Seconds an allowance holds at most: where other servers' changes are heard of, and where they are not. They are heard
# at once, but a change by another program (SQL, a stock server on the same database) is not.
_HOLDS, _HOLDS_DEAF = 5.0, 1.0
_FRESH = 0.8  # of that, after which it is asked again behind the back of who is still allowed
_MOST = 50_000  # allowances remembered
_MOST_RUNS = 200_000  # runs whose experiments are remembered: they never change
_PATIENCE = 2.0  # seconds that the answer of a change waits until all others have heard of it
# A worker that was comparing a password while it changed remembers it right after it was told to forget: told again.
_COMPARED_BY = 2.0
_TRIES = 2  # to ask MLflow while others change something
_DEAF_SECONDS = 4.0  # where other servers are not heard: between two times that workers forget
_PLAIN = re.compile(r"[A-Za-z0-9/_.~-]+")
# Paths under which something is changed that an allowance may rest on (mlflow 3.17.2, server/auth/routes.py), with
# what a registered model's name stands for.
_CHANGING = re.compile(r"/(?:users|roles|permissions|workspaces|registered-models)(?:/|$)|/signup(?:/|$)")
# Logged models never move and their ids are random, so that only one that goes away changes anything.
_REMOVING = re.compile(r"/logged-models(?:/|$)")
_HARMLESS = frozenset({"GET", "HEAD", "OPTIONS"})
_REFUSALS = range(400, 500)
_REFUSED = {"allowed": False}

Key = tuple[bytes, str, str, About]


class _Allowance(NamedTuple):
    fresh: float
    until: float
    user: str


class _Verdict(NamedTuple):
    user: str | None  # None: no
    steady: bool  # whether it rests on nothing else in the request


_NO = _Verdict(None, steady=False)


def guard(config: ServerConfig, private: Private, database: Callable[[], Database | None]) -> Guard:
    """The guard that these settings want.

    Args:
        config: what the tracking server was told.
        private: asks the private server.
        database: the fast lane's, while it has one.
    """
    return Logins(private, database, Changes(config.backend_store_uri, lambda: None)) if config.basic_auth else Guard()


class Logins(Guard):
    """Lets pass what MLflow would.

    Args:
        private: asks the private server.
        database: the fast lane's, while it has one.
        changes: tells other servers, and hears from them.
    """

    def __init__(self, private: Private, database: Callable[[], Database | None], changes: Changes) -> None:
        self._private = private
        self._database = database
        self._changes = changes
        changes.heard = self._others_changed
        self._key = secrets.token_bytes(32)
        self._allowed: dict[Key, _Allowance] = {}
        self._homes: dict[str, str] = {}  # run -> experiment
        self._asking: dict[Key, asyncio.Task[_Verdict]] = {}
        self._age = 0  # counts changes: what was asked before one is not remembered after it
        self._closed = False  # a site's own authorization function: only MLflow can call it
        self._telling: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to hear what other servers change; for the private server also where nothing is answered here."""
        self._changes.start()
        if not self._changes.alone:
            self._spawn(self._forget_while_deaf())

    async def permits(self, route: Route, call: Call) -> bool:
        """Whether MLflow allowed this caller this a moment ago, or does so now."""
        subject = route.subject
        if subject is Subject.NOTHING and is_open(call.path):
            return True
        given, kind = _said(call)
        found = about(subject, call, kind) if given and not self._closed else None
        if found is not None and (found.runs or found.experiment_name):
            found = self._known(found) or await self._located(found)
        if found is None:
            return False
        key = (hashlib.blake2b(given, digest_size=24, key=self._key).digest(), call.method, call.path, found)
        allowance = self._allowed.get(key)
        now = time.monotonic()
        if allowance is not None and now < allowance.until:
            if now > allowance.fresh and key not in self._asking:
                self._ask(key, subject, call, _headers(call, given, kind))
            call.user = allowance.user
            return True
        # Everybody who asks for the same waits for one question. None may end it for the others.
        if (asking := self._asking.get(key)) is not None:
            user, steady = await asyncio.shield(asking)
        if asking is None or (user is not None and not steady):
            user, _ = await asyncio.shield(self._ask(key, subject, call, _headers(call, given, kind)))
        call.user = user or ""
        return user is not None

    def watch(self, method: str, path: str, send: Any) -> Any:  # noqa: ANN401 - ASGI's
        """Sends an answer after everybody who has to has forgotten what it may have changed."""
        if not changes(method, path):
            return send

        async def watched(message: Any) -> None:  # noqa: ANN401 - as above
            if message["type"] == "http.response.start" and message["status"] not in _REFUSALS:
                self._forget()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_PATIENCE):
                        await asyncio.gather(self._workers_forget(), self._changes.tell())
                self._forget()
                self._spawn(self._forget_again())
            await send(message)

        return watched

    async def close(self) -> None:
        """End the questions and the listening."""
        await self._changes.close()
        for task in (*self._asking.values(), *self._telling):
            task.cancel()

    def _ask(self, key: Key, subject: Subject, call: Call, headers: dict[str, str]) -> asyncio.Task[_Verdict]:
        task = asyncio.get_running_loop().create_task(self._answer(key, subject, call, headers))
        self._asking[key] = task
        return task

    async def _answer(self, key: Key, subject: Subject, call: Call, headers: dict[str, str]) -> _Verdict:
        """What MLflow decides; remembered, if it allows it."""
        try:
            for _ in range(_TRIES):
                age = self._age
                user, steady = verdict = await self._decided(subject, call, headers)
                if age == self._age:
                    break
            else:  # something changes all the time: what was allowed before is not sure
                return _NO
        finally:
            if self._asking.get(key) is asyncio.current_task():
                del self._asking[key]
        if user is None or not steady:
            self._allowed.pop(key, None)
            return verdict
        holds = _HOLDS if self._changes.listening else _HOLDS_DEAF
        now = time.monotonic()
        _drop_oldest(self._allowed, _MOST)
        self._allowed[key] = _Allowance(now + _FRESH * holds, now + holds, user)
        return verdict

    async def _decided(self, subject: Subject, call: Call, headers: dict[str, str]) -> _Verdict:
        if subject is not Subject.ARTIFACT and not _PLAIN.fullmatch(call.path):
            return _NO
        asked = question(call.method, call.path, call.query.decode("latin-1"), headers, call.body)
        try:
            status, body = await self._private.ask(f"{PREFIX}permits", asked)
            self._closed = self._closed or status == HTTPStatus.NOT_FOUND
            verdict = json.loads(body) if status == HTTPStatus.OK else _REFUSED
        except (OSError, TimeoutError, ValueError):
            verdict = _REFUSED
        if not verdict["allowed"] or (subject is Subject.ADMIN and not verdict["admin"]):
            return _NO
        return _Verdict(str(verdict["user"]), bool(verdict["steady"]))

    def _known(self, found: About) -> About | None:
        """With runs replaced by their experiments, where all of these are known."""
        if found.experiment_name:
            return None
        try:
            if len(found.runs) == 1:
                return About((), (self._homes[found.runs[0]],), "", found.more)
            return About((), tuple(sorted({self._homes[run] for run in found.runs})), "", found.more)
        except KeyError:
            return None

    async def _located(self, found: About) -> About | None:
        """As `_known`, asking the database; None where a run or experiment is not there."""
        database = self._database()
        if database is None:
            return None
        try:
            if found.experiment_name:  # names move, so they are never remembered
                rows = await database.rows(
                    "select experiment_id::text from experiments where name = $1", found.experiment_name
                )
                return found._replace(experiments=(rows[0][0],)) if len(rows) == 1 else None
            rows = await database.rows(
                "select run_uuid, experiment_id::text from runs where run_uuid = any($1::varchar[])", list(found.runs)
            )
        except Exception:  # whatever the reason, MLflow shall decide
            return None
        _drop_oldest(self._homes, _MOST_RUNS)
        self._homes.update((row[0], row[1]) for row in rows)
        return self._known(found)

    def _forget(self) -> None:
        self._age += 1
        self._allowed.clear()
        self._asking.clear()

    def _others_changed(self) -> None:
        self._forget()
        self._spawn(self._workers_forget())
        self._spawn(self._forget_again())

    async def _forget_again(self) -> None:
        await asyncio.sleep(_COMPARED_BY)
        self._forget()
        await self._workers_forget()

    async def _forget_while_deaf(self) -> None:
        while True:
            await asyncio.sleep(_DEAF_SECONDS)
            if not self._changes.listening:
                await self._workers_forget()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _workers_forget(self) -> None:
        """MLflow remembers right passwords for a minute in each worker; the one that changed them forgets alone."""
        with contextlib.suppress(OSError, TimeoutError):
            await self._private.ask_all(f"{PREFIX}forget", b"{}")


def changes(method: str, path: str) -> bool:
    """Whether a request may change what somebody may do."""
    removes = method == "DELETE" and _REMOVING.search(path) is not None
    return removes or (method not in _HARMLESS and _CHANGING.search(path) is not None)


def _said(call: Call) -> tuple[bytes, bytes]:
    """Credentials and content type as they were sent; nothing for credentials of two."""
    given = kind = b""
    for name, value in call.headers:
        if name == b"authorization":
            if given:
                return b"", b""
            given = value
        elif name == b"content-type":
            kind = value
    return given, kind


def _headers(call: Call, given: bytes, kind: bytes) -> dict[str, str]:
    """Of the request, what upstream looks at before it decides; which hosts there may be was found out before."""
    host = next((value for name, value in call.headers if name == b"host"), b"")
    told = (("Authorization", given), ("Content-Type", kind), ("Host", host))
    return {name: value.decode("latin-1") for name, value in told if value}


def _drop_oldest(memory: dict[Any, Any], most: int) -> None:
    if len(memory) >= most:
        oldest: Iterable[Any] = tuple(key for key, _ in zip(memory, range(most // 10), strict=False))
        for key in oldest:
            del memory[key]
