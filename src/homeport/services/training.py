"""`training`: a job on demand with everything a training program needs and no key of anything. Only says what runs."""

from __future__ import annotations

from homeport.model.service import HEALTHY, Container, Job, Target
from homeport.model.values import Ref, Template
from homeport.services import accounts, tracking
from homeport.settings import Settings

NAME = "training"


def training(settings: Settings) -> Job:
    """The reference training on the penguins, or any other command that is given instead."""
    return Job(
        name=NAME,
        title="training job",
        command=("python", "-m", "homeport.training", "penguins"),
        owner=tracking.NAME,
        env={
            "MLFLOW_TRACKING_URI": Template("http://{address}", address=Ref(tracking.NAME)),
            **accounts.client_env(settings, Target.CONTAINERS, accounts.TRAINING, accounts.TRAINING_PASSWORD),
            **tracking.through_server(Target.CONTAINERS),
            **tracking.quiet(settings),
        },
        needs={tracking.NAME: HEALTHY},
        timeout=86400.0,
        container=Container(
            user=tracking.owner(settings), profile="training", memory="4g", pids=512, binds=tracking.binds(settings)
        ),
    )
