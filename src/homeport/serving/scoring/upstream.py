"""What is taken from inside MLflow: loading a pyfunc, holding data to its signature, asking it.

Everything here repeats `mlflow.pyfunc.PyFuncModel.predict` (3.17.2) in two steps, so that a request that does not fit
is told apart from a model that fails. It knows no request.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from pathlib import Path
from typing import Any

from homeport.serving.refusal import Refusal, invalid, model_failed

# Sentences of MLflow that name columns and types, never values.
_SAFE = (
    "Model is missing inputs",
    "Model inference is missing inputs",
    "Incompatible input types for column",
    "The input column",
    "Shape of input",
    "dtype of input",
    "Input DataFrame is empty",
)
# Where MLflow holds data to a type hint, just before it calls the model's own `predict`.
_TYPE_HINTS = {"mlflow.types.type_hints", "mlflow.pyfunc.utils.data_validation"}


class Pyfunc:
    """A model as `mlflow.pyfunc.load_model` gives it.

    Args:
        path: directory with the file MLmodel.

    Raises:
        Exception: whatever loading the model raises.
    """

    def __init__(self, path: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow's own, about its own types
            import mlflow.pyfunc
        from mlflow.environment_variables import _MLFLOW_IS_IN_SERVING_ENVIRONMENT

        os.environ[_MLFLOW_IS_IN_SERVING_ENVIRONMENT.name] = "true"  # as upstream's scoring server does
        logging.getLogger("mlflow.models.utils").addFilter(_silent)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self.model = mlflow.pyfunc.load_model(str(path), suppress_warnings=True)
        self.warnings = (*_mismatches(path), *sorted({_first_line(w.message) for w in caught if _matters(w.category)}))
        self.metadata = self.model.metadata
        self.signature = self.metadata.signature
        self.input_schema = self.metadata.get_input_schema()
        self.params_schema = self.metadata.get_params_schema()
        self.type_hinted = bool(self.metadata._is_signature_from_type_hint())
        # Then MLflow gives the model something else than the frame or the tensor of its signature.
        self.reshapes = self.type_hinted or bool(self.metadata._is_type_hint_from_example())
        self._takes_params = _takes_params(self.model._predict_fn)

    def raw(self, loader: str) -> Any:  # noqa: ANN401 - a model of any library
        """The library's own model if this loader module loaded it and `predict` is what is asked; else None."""
        if self.model.loader_module != loader or self.predict_name != "predict":
            return None
        return self.model.get_raw_model()

    @property
    def predict_name(self) -> str:
        """The model's method that answers."""
        return str(self.metadata.flavors["python_function"].get("predict_fn", "predict"))

    def validate(self, data: Any, params: Any) -> tuple[Any, Any]:  # noqa: ANN401 - whatever a model takes
        """Hold data and parameters to the signature as upstream does.

        Raises:
            Refusal: they do not fit.
        """
        params = self._params(params)
        if self.type_hinted or self.input_schema is None:
            return data, params
        from mlflow.models.utils import _enforce_schema
        from mlflow.pyfunc import _convert_dataframe_to_example_format

        try:
            enforced = _enforce_schema(data, self.input_schema, self.model.loader_module)
        except Exception as error:
            raise invalid(_sentence(error)) from None
        if self.metadata._is_type_hint_from_example() and self.model.input_example is not None:
            import pandas as pd

            if isinstance(enforced, pd.DataFrame):
                enforced = _convert_dataframe_to_example_format(enforced, self.model.input_example)
        return enforced, params

    def predict(self, data: Any, params: Any) -> Any:  # noqa: ANN401 - whatever a model takes and gives
        """Ask the model with validated data; raises what the model raises."""
        from mlflow.pyfunc import (
            Context,
            _get_dependencies_schema_from_model,
            _try_get_prediction_context,
            set_prediction_context,
        )

        context = _try_get_prediction_context() or Context()
        with set_prediction_context(context):
            if schema := _get_dependencies_schema_from_model(self.metadata):
                context.update(**schema)
            if self.model.model_id:
                context.update(model_id=self.model.model_id)
            if self._takes_params:
                return self.model._predict_fn(data, params=params)
            return self.model._predict_fn(data)

    def failed(self, error: Exception) -> Refusal:
        """What a caller is told when the model raised: 400 when MLflow held the data to a type hint, else 500."""
        if _raised_in(error) in _TYPE_HINTS:
            return invalid("the data under 'inputs' do not match the model's type hint")
        return model_failed(f"the model raised {type(error).__name__}")

    def example(self, path: Path) -> dict[str, Any] | None:
        """A JSON body for /invocations made from the input example, None without one."""
        from mlflow.models.utils import convert_input_example_to_serving_input

        text = self.metadata.get_serving_input(str(path))
        if text is None and self.model.input_example is not None:
            text = convert_input_example_to_serving_input(self.model.input_example)
        document = json.loads(text) if text else None
        return document if isinstance(document, dict) else None

    def _params(self, params: Any) -> Any:  # noqa: ANN401 - JSON
        if self.params_schema is None:
            return None if params is None else {}
        from mlflow.exceptions import MlflowException
        from mlflow.models.utils import _enforce_params_schema

        known = {spec.name for spec in self.params_schema.params}
        if isinstance(params, dict):
            params = {name: value for name, value in params.items() if name in known}
        elif params is not None:
            raise invalid(f"'params' must be an object, not {type(params).__name__}")
        try:
            return _enforce_params_schema(params, self.params_schema)
        except MlflowException:
            raise invalid(_parameters(params or {}, self.params_schema)) from None


def _raised_in(error: Exception) -> str:
    """The module that raised it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else str(trace.tb_frame.f_globals.get("__name__", ""))


def _silent(record: logging.LogRecord) -> bool:
    """Whether a line is to be logged: not the one that every request with an unknown input would add."""
    return not record.getMessage().startswith("Found extra inputs in the model input")


def _sentence(error: Exception) -> str:
    message = getattr(error, "message", str(error))
    if message.startswith(_SAFE):
        return str(message).split(" Note that there were extra", 1)[0]
    return "the data do not fit the model's signature"


def _parameters(params: dict[str, Any], schema: Any) -> str:  # noqa: ANN401 - mlflow is untyped
    from mlflow.exceptions import MlflowException
    from mlflow.types.schema import ParamSpec

    bad = []
    for spec in schema.params:
        if spec.name in params:
            try:
                ParamSpec.validate_param_spec(params[spec.name], spec)
            except MlflowException:
                bad.append(
                    f"{spec.name} must be {'a list of ' if spec.shape else ''}{getattr(spec.dtype, 'name', 'object')}"
                )
    return f"parameters do not fit the model's signature: {', '.join(bad)}"


def _takes_params(predict: Any) -> bool:  # noqa: ANN401 - any callable
    import inspect

    parameter = inspect.signature(predict).parameters.get("params")
    return parameter is not None and parameter.kind != inspect.Parameter.VAR_KEYWORD


def _mismatches(path: Path) -> tuple[str, ...]:
    """Requirements of the model that this environment does not meet."""
    from mlflow.pyfunc import _get_pip_requirements_from_model_path
    from mlflow.utils.requirements_utils import _check_requirement_satisfied

    found = (_check_requirement_satisfied(line) for line in _get_pip_requirements_from_model_path(str(path)))
    return tuple(
        f"needs {m.requirement}, {'nothing' if m.installed_version is None else m.installed_version} is installed"
        for m in found
        if m is not None
    )


def _matters(category: type[Warning]) -> bool:
    return not issubclass(category, (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ResourceWarning))


def _first_line(message: Warning | str) -> str:
    return next(iter(str(message).strip().splitlines()), "")
