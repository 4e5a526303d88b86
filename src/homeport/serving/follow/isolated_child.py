"""The process of one isolated model: loads it, answers the frames of the service, ends when the service does.

    python -m homeport.serving.follow.isolated_child '{"fd": 5, "path": …, "maker": "module:attribute", …}'

It refuses to know why the model is isolated.
"""

from __future__ import annotations

import ctypes
import dataclasses
import importlib
import json
import os
import signal
import socket
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from homeport.errors import HomeportError
from homeport.serving.follow.isolated_frames import Channel
from homeport.serving.refusal import Refusal, model_failed
from homeport.serving.servable import Request, Servable

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG, linux/prctl.h


def main() -> None:
    """Serve one model until the other end of the socket is closed."""
    told = json.loads(sys.argv[1])
    _end_with(told["parent"])
    # Ctrl-C and SIGTERM reach the whole group; the service drains first and then closes the socket.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    channel = Channel(socket.socket(fileno=told["fd"]))
    try:
        servable = _load(told)
    except Exception as error:  # a model's files and code may raise anything
        traceback.print_exc()
        channel.send(("failed", _as_error(error, told).as_dict()))
        return
    channel.send(("ready", dataclasses.asdict(servable.description)))
    _answer_all(channel, servable, told["threads"])


def _answer_all(channel: Channel, servable: Servable, threads: int) -> None:
    pool = ThreadPoolExecutor(threads, thread_name_prefix="predict")
    try:
        while True:
            number, request = channel.receive()
            pool.submit(_answer, channel, servable, number, request)
    except EOFError:
        # Whoever asked is gone, or has had every answer: what a model still does in a thread concerns nobody.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _answer(channel: Channel, servable: Servable, number: int, request: Request) -> None:
    answer: Any
    try:
        question = servable.parse(request)
        (prediction,) = servable.predict([question])
        answer = ("reply", number, question.rows, servable.encode(request, question, prediction))
    except Refusal as refusal:
        answer = ("refusal", number, refusal)
    except BaseException:  # the model's own code; the text may hold the caller's data, so it goes to the log alone
        traceback.print_exc()
        answer = ("refusal", number, model_failed("the model raised an error for this request"))
    try:
        channel.send(answer)
    except OSError:
        os._exit(0)


def _load(told: dict[str, Any]) -> Servable:
    module, _, attribute = told["maker"].partition(":")
    maker = getattr(importlib.import_module(module), attribute)
    wanted = {name: told[name] for name in ("name", "version", "run_id", "model_id")}
    from pathlib import Path

    servable: Servable = maker.load(Path(told["path"]), **wanted)
    return servable


def _as_error(error: Exception, told: dict[str, Any]) -> HomeportError:
    if isinstance(error, HomeportError):
        return error
    lines = str(error).strip().splitlines() or [""]
    return HomeportError(
        code="MODEL_NOT_LOADED",
        what=f"{told['name']}/{told['version']} could not be loaded: {type(error).__name__}: {lines[0][:300]}",
    )


def _end_with(parent: int) -> None:
    """Be killed when the parent is, even while native code holds the interpreter and the socket is not read."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(0)


if __name__ == "__main__":
    main()
