"""The smallest useful run: params, a metric that moves, and a file.

Run it with ``homeport run -- python examples/quickstart.py``: that sets MLFLOW_TRACKING_URI, and the code names no
server.
"""

import mlflow

mlflow.set_experiment("quickstart")

with mlflow.start_run(run_name="halving"):
    mlflow.log_params({"start": 1.0, "steps": 10})
    for step in range(10):
        mlflow.log_metric("loss", 0.5**step, step=step)
    mlflow.log_text("The loss halves in every step.\n", "notes.txt")
