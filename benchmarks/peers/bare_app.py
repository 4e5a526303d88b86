"""The bare application: parse JSON, predict with XGBoost's fastest call, answer; the measure of what a server adds."""

import os
from typing import Any

import numpy as np
import orjson
import xgboost

booster = xgboost.Booster(model_file=os.environ["BARE_MODEL"])
booster.set_param({"nthread": 1})


async def app(scope: Any, receive: Any, send: Any) -> None:
    """ASGI."""
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    rows = np.array(orjson.loads(body)["dataframe_split"]["data"], dtype=np.float32)
    answer = orjson.dumps({"predictions": booster.inplace_predict(rows)}, option=orjson.OPT_SERIALIZE_NUMPY)
    head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": answer})
