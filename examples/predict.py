"""Ask a served model, with nothing but the standard library: homeport run -- python examples/predict.py penguins."""

import json
import os
import sys
import time
from urllib.error import HTTPError
from urllib.request import Request, urlopen

name = sys.argv[1] if len(sys.argv) > 1 else "penguins"
serving = os.environ["HOMEPORT_SERVING_URL"]
headers = {"Content-Type": "application/json"}
if key := os.environ.get("HOMEPORT_SERVING_KEY"):  # where clients must log in
    headers["X-API-Key"] = key

# A version that was promoted a moment ago is served within a few seconds.
for _ in range(120):
    with urlopen(Request(f"{serving}/status", headers=headers)) as answer:
        models = {model["name"]: model for model in json.load(answer)["models"]}
    if name in models and models[name]["example"]:
        break
    time.sleep(0.5)
else:
    sys.exit(f"{name} is not served; what is: {serving}/status")

body = json.dumps(models[name]["example"]).encode()
request = Request(f"{serving}/models/{name}/invocations", data=body, headers=headers)
try:
    with urlopen(request) as answer:
        print(f"{name} version {answer.headers['X-Model-Version']} says {json.load(answer)['predictions']}")
except HTTPError as error:
    sys.exit(f"{error.code}: {error.read().decode()}")
