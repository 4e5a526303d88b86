"""`loadtest`: a job on demand that loads the platform as its users do (loadtest/). Only says what runs."""

from __future__ import annotations

from homeport.model.service import HEALTHY, Condition, Container, Job, Target
from homeport.model.values import Ref, Template, Value
from homeport.services import accounts, serving, tracking
from homeport.settings import Settings

NAME = "loadtest"


def loadtest(settings: Settings) -> Job:
    """Users of every kind for a minute, or as long and as many as the command that is given instead says.

    It logs in as a training does, and asks for predictions where there are any.
    """
    needs: dict[str, Condition] = {tracking.NAME: HEALTHY}
    env: dict[str, Value] = {
        "MLFLOW_TRACKING_URI": Template("http://{address}", address=Ref(tracking.NAME)),
        **accounts.client_env(settings, Target.CONTAINERS, accounts.TRAINING, accounts.TRAINING_PASSWORD),
        **tracking.through_server(Target.CONTAINERS),
        **tracking.quiet(settings),
    }
    if settings.serves:
        needs[serving.NAME] = HEALTHY
        env["HOMEPORT_SERVING_URL"] = Template("http://{address}", address=Ref(serving.NAME))
        if accounts.required(settings, Target.CONTAINERS):
            env["HOMEPORT_SERVING_KEY"] = accounts.serving_key(settings)
    return Job(
        name=NAME,
        title="load test",
        command=("python", "-m", "loadtest"),
        owner=tracking.NAME,
        env=env,
        needs=needs,
        timeout=86400.0,
        stop_timeout=60.0,  # one that is ended early compares and reports all the same
        container=Container(
            variant="loadtest",
            user=tracking.owner(settings),
            profile="loadtest",
            memory="1g",
            binds=tracking.binds(settings),
        ),
    )
