"""A model from code, as `mlflow.pyfunc.log_model(python_model="…")` takes it."""

from typing import Any

import mlflow
from mlflow.pyfunc import PythonModel


class Summing(PythonModel):  # type: ignore[misc] # MLflow is untyped here
    """Adds up each row."""

    def predict(self, context: Any, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """One number a row."""
        return model_input.sum(axis=1).to_numpy()


mlflow.models.set_model(Summing())
