"""Run in an environment with kserve: its own client asks a server. Arguments: URL. Prints one JSON object."""

import asyncio
import json
import sys

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

ROW = [7.0, 0.27, 0.36, 20.7, 0.045, 45.0, 170.0, 1.001, 3.0, 0.45, 8.8]


async def main(url: str) -> dict[str, object]:
    """Ask everything the client knows to ask."""
    client = InferenceRESTClient(RESTConfig(protocol="v2", timeout=60))
    tensor = InferInput("input-0", [1, len(ROW)], "FP64")
    tensor.set_data_from_numpy(np.array([ROW]), binary_data=False)
    binary = InferInput("input-0", [1, len(ROW)], "FP64")
    binary.set_data_from_numpy(np.array([ROW]), binary_data=True)
    answers = [
        await client.infer(url, InferRequest("wine-quality", [each], request_id=f"r{place}"), model_name="wine-quality")
        for place, each in enumerate((tensor, binary))
    ]
    return {
        "live": await client.is_server_live(url),
        "ready": await client.is_server_ready(url),
        "model": await client.is_model_ready(url, "wine-quality"),
        "answers": [[a.id, a.model_name, np.asarray(a.outputs[0].as_numpy()).ravel().tolist()] for a in answers],
    }


print(json.dumps(asyncio.run(main(sys.argv[1]))))  # noqa: T201 - the caller reads it
