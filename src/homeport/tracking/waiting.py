"""`python -m homeport.tracking.waiting`: ends well when the schemas are at head and the bucket is there.

What Kubernetes has instead of "after that job": a pod's first container. It asks the database and the store themselves,
not the cluster for its Jobs, so it needs no right there, and a Job that was deleted or done by hand counts as well.
"""

from __future__ import annotations

import os
import sys
import time

from homeport import program
from homeport.errors import ExitCode, HomeportError
from homeport.exposure import Authentication, authentication
from homeport.tracking.backend_store import name_driver
from homeport.tracking.readiness import Problem, Readiness

_PAUSE = 1.0  # seconds between two looks
_PATIENCE = 600.0


def main() -> None:
    """Wait, and say what for whenever that changes.

    Raises:
        HomeportError: STILL_WAITING after HOMEPORT_WAIT_SECONDS.
    """
    name_driver(os.environ)
    readiness = Readiness(
        program.setting("MLFLOW_BACKEND_STORE_URI"),
        program.setting("MLFLOW_ARTIFACTS_DESTINATION"),
        users=authentication() is Authentication.BASIC,
    )
    patience = program.number("HOMEPORT_WAIT_SECONDS", _PATIENCE)
    deadline, said = time.monotonic() + patience, ""
    while problems := readiness.check():
        text = "; ".join(f"{problem.part}: {problem.message}" for problem in problems)
        if text != said:
            sys.stdout.write(f"waiting for {text}\n")
            sys.stdout.flush()
            said = text
        if time.monotonic() > deadline:
            raise _still_waiting(problems, patience)
        time.sleep(_PAUSE)
    sys.stdout.write("the schema is at head and the artifact store answers\n")


def _still_waiting(problems: list[Problem], patience: float) -> HomeportError:
    pod = os.environ.get("HOSTNAME", "this pod")
    return HomeportError(
        code="STILL_WAITING",
        what=f"{pod} waited {patience:.0f} s for what the jobs have to make",
        evidence=tuple((problem.part, problem.message) for problem in problems),
        why="tracking-migrate brings the schema to head, objectstore-init makes the bucket; one of them has not ended",
        fix="kubectl get jobs, then kubectl logs job/NAME of the one that is not complete",
        exit_code=ExitCode.NOT_READY,
    )


if __name__ == "__main__":
    program.run(main)
