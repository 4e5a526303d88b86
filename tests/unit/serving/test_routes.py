from __future__ import annotations

import pytest

from homeport.serving.routes import Route, Routes
from homeport.serving.servable import Dialect

MLFLOW, OIP = Dialect.MLFLOW, Dialect.OIP


@pytest.mark.parametrize(
    ("path", "route"),
    [
        (b"/invocations", Route(MLFLOW)),
        (b"/models/wine/invocations", Route(MLFLOW, "wine")),
        (b"/models/wine@champion/invocations", Route(MLFLOW, "wine", alias="champion")),
        (b"/models/wine%40champion/invocations", Route(MLFLOW, "wine@champion")),
        (b"/models/wine/versions/3/invocations", Route(MLFLOW, "wine", version="3")),
        (b"/models/a%20b/invocations", Route(MLFLOW, "a b")),
        (b"/models/%C3%A4/invocations", Route(MLFLOW, "ä")),
        (b"/v2/models/wine/infer", Route(OIP, "wine")),
        (b"/v2/models/wine/versions/3/infer", Route(OIP, "wine", version="3")),
    ],
)
def test_a_scoring_path_says_what_is_asked(path: bytes, route: Route) -> None:
    assert Routes().find(path) == route


@pytest.mark.parametrize(
    "path", [b"/", b"/invocations/", b"/models/invocations", b"/models//invocations", b"/v2/models/wine", b"/reload"]
)
def test_any_other_path_is_none(path: bytes) -> None:
    assert Routes().find(path) is None


def test_paths_nobody_serves_do_not_fill_the_memory() -> None:
    routes = Routes()
    for number in range(10_000):
        routes.find(f"/models/m{number}/invocations".encode())
    assert len(routes._known) <= 4096
