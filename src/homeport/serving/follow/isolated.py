"""A model version in a process of its own, so that its code meets no other version's; to the server it is a servable.

Parsing, predicting and encoding all happen there. The process uses the Python it is given, which is this one unless the
site has another for the model; it needs Homeport installed. It refuses to know when a model must be isolated.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import fields
from pathlib import Path
from typing import Any

from homeport.errors import HomeportError
from homeport.serving.follow.isolated_frames import Channel
from homeport.serving.follow.versions import RegisteredVersion
from homeport.serving.refusal import Refusal
from homeport.serving.servable import Description, Question, Reply, Request

LOCAL = "homeport.serving.scoring.local:Local"
"""What loads the model in the process: a class with `load(path, *, name, version, run_id, model_id)`."""

_log = logging.getLogger(__name__)
_START = 600.0  # s for loading
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0  # s before a dead process is started again
_SOUND = 60.0  # s; one that lived so long is started again without a longer pause
_OURS_ALONE = ("HOMEPORT_WEBHOOK_SECRET", "HOMEPORT_PREDICTION_DATABASE_URI", "HOMEPORT_SERVING_KEY")
"""Variables that no model needs; a model's own code can read all others."""
_GRACE = 4.0  # s to end after the socket is closed


class Isolated:
    """One model version, loaded in a child process. Thread-safe; requests are pipelined.

    Args:
        path: the model's directory.
        version: what the registry calls it.
        python: the interpreter, this one by default.
        threads: predictions at a time.
        maker: what loads it there.

    Raises:
        HomeportError: MODEL_NOT_LOADED, or what the loading there raised.
    """

    inline = False
    coalesces = False

    def __init__(
        self,
        path: Path,
        version: RegisteredVersion,
        *,
        python: str = sys.executable,
        threads: int = 4,
        maker: str = LOCAL,
    ) -> None:
        self._label = f"{version.name}/{version.version}"
        self._told = {
            "path": str(path),
            "name": version.name,
            "version": version.version,
            "run_id": version.run_id,
            "model_id": version.model_id,
            "maker": maker,
            "threads": threads,
            "parent": os.getpid(),
        }
        self._python = python
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[tuple[int, Reply]]] = {}
        self._channel: Channel | None = None
        self._process: subprocess.Popen[str] | None = None
        self._closed = threading.Event()
        self._loaded: Future[Description] = Future()
        # The kernel ends the child with the thread that made it, so this thread lives as long as the model is open.
        self._thread = threading.Thread(target=self._keep, name=f"isolated {self._label}", daemon=True)
        self._thread.start()
        try:
            self._description = self._loaded.result(_START)
        except TimeoutError as error:
            self.close()
            raise _not_loaded(self._label, f"it was not ready within {_START:g} s") from error
        except BaseException:
            self.close()
            raise

    @property
    def description(self) -> Description:
        """What the process said about it."""
        return self._description

    @property
    def pid(self) -> int | None:
        """The process, None while there is none."""
        process = self._process
        return process.pid if process and process.poll() is None else None

    def parse(self, request: Request) -> Question:
        """Nothing yet: it is read where the model is."""
        return Question(data=request, params=None, rows=0)

    def predict(self, questions: Sequence[Question]) -> list[Reply]:
        """Ask the process; the number of rows is known afterwards.

        Raises:
            Refusal: the request's own, or 503 when the process is gone.
        """
        futures = [self._ask(question.data) for question in questions]
        replies = []
        for question, future in zip(questions, futures, strict=True):
            question.rows, reply = future.result()
            replies.append(reply)
        return replies

    def encode(self, request: Request, question: Question, prediction: Reply) -> Reply:
        """Nothing more: it was written where the model is."""
        return prediction

    def close(self) -> None:
        """End the process, by force after 4 s."""
        self._closed.set()
        with self._lock:
            channel = self._channel
        if channel is not None:
            channel.close()
        elif (process := self._process) is not None and process.poll() is None:
            process.kill()  # it is still loading, or about to be started again
        if self._thread is not threading.current_thread():
            self._thread.join(_GRACE + 1)

    def _ask(self, request: Request) -> Future[tuple[int, Reply]]:
        future: Future[tuple[int, Reply]] = Future()
        number = next(self._numbers)
        with self._lock:
            channel = self._channel
            if channel is not None:
                self._waiting[number] = future
        if channel is None:
            raise _gone()
        try:
            channel.send((number, request))
        except OSError:
            with self._lock:
                self._waiting.pop(number, None)
            raise _gone() from None
        return future

    def _keep(self) -> None:
        """Start the process, read its answers, start it again when it dies."""
        pause = _FIRST_PAUSE
        while not self._closed.is_set():
            begun = time.monotonic()
            try:
                self._one_life()
            except Exception as error:  # what cannot be started now may be later: no memory, no process ids
                if not self._loaded.done():
                    known = isinstance(error, HomeportError)
                    self._loaded.set_exception(error if known else _not_loaded(self._label, str(error)))
                _log.warning("%s: its process could not be started: %s", self._label, error)
            if not self._loaded.done():
                self._loaded.set_exception(_not_loaded(self._label, "its process ended while it was loading"))
            if self._loaded.exception() is not None:
                return
            pause = _FIRST_PAUSE if time.monotonic() - begun > _SOUND else pause
            if not self._closed.wait(pause):
                _log.warning("%s: its process ended and is started again", self._label)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _one_life(self) -> None:
        ours, theirs = socket.socketpair()
        channel = Channel(ours)
        try:
            with theirs:
                self._process = process = self._start(theirs.fileno())
            lines = threading.Thread(target=self._pass_on, args=(process,), name=f"log {self._label}", daemon=True)
            lines.start()
            try:
                self._serve(channel)
            finally:
                with self._lock:
                    self._channel, waiting, self._waiting = None, self._waiting, {}
                for future in waiting.values():
                    future.set_exception(_gone())
                channel.close()
                _end(process)
                lines.join(1)
        finally:
            channel.close()

    def _start(self, handle: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self._python, "-m", "homeport.serving.follow.isolated_child", json.dumps(self._told | {"fd": handle})],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(handle,),
            text=True,
            errors="replace",
            env={k: v for k, v in os.environ.items() if not k.startswith(_OURS_ALONE)}
            | {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        )

    def _serve(self, channel: Channel) -> None:
        try:
            kind, content = channel.receive()
            if kind == "failed":
                raise HomeportError.from_dict(content)
            if not self._loaded.done():
                self._loaded.set_result(_description(content))
            with self._lock:
                self._channel = channel
            while not self._closed.is_set():
                self._take(*channel.receive())
        except EOFError:
            return

    def _take(self, kind: str, number: int, *content: Any) -> None:  # noqa: ANN401 - a frame's rest
        with self._lock:
            future = self._waiting.pop(number, None)
        if future is None:
            return
        if kind == "refusal":
            future.set_exception(content[0])
        else:
            future.set_result((content[0], content[1]))

    def _pass_on(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                sys.stderr.write(f"[{self._label}] {line.rstrip()}\n")


def _description(content: Mapping[str, Any]) -> Description:
    known = {f.name for f in fields(Description)}
    given: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in content.items() if name in known
    }
    return Description(**given | {"isolated": True})


def _end(process: subprocess.Popen[str]) -> None:
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _gone() -> Refusal:
    return Refusal(
        503, "TEMPORARILY_UNAVAILABLE", "the model's process ended and is started again", {"Retry-After": "1"}
    )


def _not_loaded(label: str, why: str) -> HomeportError:
    return HomeportError(
        code="MODEL_NOT_LOADED",
        what=f"{label} could not be loaded in a process of its own: {why}",
        fix="the log of the service has what the process wrote, each line with the model's name before it",
    )
