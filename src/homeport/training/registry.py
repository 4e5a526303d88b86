"""The model registry as a pipeline needs it: register a version, score the champion, move the alias.

Which model deserves the alias it refuses to know: promotion.py decides.
"""

from __future__ import annotations

from collections.abc import Callable

from mlflow import MlflowClient
from mlflow.entities.model_registry import RegisteredModel
from mlflow.exceptions import MlflowException
from mlflow.models.model import ModelInfo

from homeport.training.connection import reason
from homeport.training.options import CHAMPION
from homeport.training.promotion import Champion, Scores

_DIGEST_TAG = "homeport.data_sha256"


def score_champion(name: str, score: Callable[[str], Scores]) -> Champion | None:
    """Load the present champion through the tracking server and score it; None when there is none.

    Args:
        name: the registered model.
        score: takes a ``models:/NAME/VERSION`` URI and returns the metrics on this run's held-out rows.
    """
    model = _registered(name)
    version = model.aliases.get(CHAMPION) if model else None
    if version is None:
        return None
    digest = MlflowClient().get_model_version(name, version).tags.get(_DIGEST_TAG, "")
    try:
        return Champion(version, scores=score(f"models:/{name}/{version}"), digest=digest)
    # Loading runs whatever the model brings along: its files may be gone, its library may be missing, its columns may
    # be others. Whatever it is, the champion cannot be scored, and the new model must not be lost over it.
    except Exception as error:
        return Champion(version, problem=f"{type(error).__name__}: {reason(error)}", digest=digest)


def register(name: str, model: ModelInfo, run_id: str, digest: str) -> str:
    """Register a logged model as the next version of `name` and return the version's number."""
    client = MlflowClient()
    if _registered(name) is None:
        _create(client, name)
    version = client.create_model_version(
        name, source=model.model_uri, run_id=run_id, model_id=model.model_id, tags={_DIGEST_TAG: digest}
    )
    return str(version.version)


def promote(name: str, version: str) -> None:
    """Move the alias ``champion`` to this version."""
    MlflowClient().set_registered_model_alias(name, CHAMPION, version)


def _registered(name: str) -> RegisteredModel | None:
    try:
        return MlflowClient().get_registered_model(name)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def _create(client: MlflowClient, name: str) -> None:
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        # Another run was faster; it is there, and that is all that matters.
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
