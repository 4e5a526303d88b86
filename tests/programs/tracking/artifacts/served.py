"""The artifacts room alone behind an HTTP server, with the front's own loop and parser: no MLflow, so a quick start.

What the room passes on is answered with 599 and the body that came through, as MLflow would have received it.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

import uvicorn

from homeport.tracking.artifacts.room import Artifacts
from homeport.tracking.front.call import Guard

PASSED = 599


async def pass_on(scope: Any, receive: Any, send: Any) -> int:
    """Say what MLflow would have been asked."""
    length, digest, more = 0, hashlib.sha256(), scope["method"] == "PUT"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return PASSED
        length += len(message.get("body", b""))
        digest.update(message.get("body", b""))
        more = message.get("more_body", False)
    body = json.dumps({"path": scope["path"], "length": length, "sha256": digest.hexdigest()}).encode()
    await send({
        "type": "http.response.start", "status": PASSED, "headers": [(b"content-length", b"%d" % len(body))],
    })  # fmt: skip
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
    return PASSED


def main() -> None:
    """Serve on HOMEPORT_LISTEN_PORT until SIGTERM."""
    room = Artifacts(os.environ, Guard(), pass_on)
    assert not room.reason, room.reason

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if room.find(scope["method"], scope["path"]) and await room(scope, receive, send):
            return
        await pass_on(scope, receive, send)

    port = int(os.environ["HOMEPORT_LISTEN_PORT"])
    uvicorn.run(
        application, host="127.0.0.1", port=port, lifespan="off", access_log=False, loop="uvloop", http="httptools"
    )


if __name__ == "__main__":
    main()
