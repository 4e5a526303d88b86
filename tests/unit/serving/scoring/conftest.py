"""MLflow warns once while `mlflow.pyfunc` is imported; here that is an error, so it is imported before."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow.pyfunc  # noqa: F401 - imported for its side effect
