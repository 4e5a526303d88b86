"""Names for runs and models that were given none, from MLflow's own word lists.

Its one file is loaded by its place: importing the package would load all of MLflow. Refuses to know runs.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path


@cache
def _generator() -> Callable[[], str]:
    package = importlib.util.find_spec("mlflow")
    places = package.submodule_search_locations if package else None
    if not places:
        raise LookupError("MLflow is not installed")
    spec = importlib.util.spec_from_file_location(
        "homeport_mlflow_name_utils", Path(next(iter(places))) / "utils" / "name_utils.py"
    )
    if spec is None or spec.loader is None:
        raise LookupError("MLflow's mlflow/utils/name_utils.py is not there")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[[], str] = module._generate_random_name
    return found


def random_name() -> str:
    """Two words and a number, e.g. `gentle-owl-123` (mlflow 3.17.2, utils/name_utils.py `_generate_random_name`).

    Raises:
        LookupError: MLflow's file is not where it was.
    """
    return _generator()()
