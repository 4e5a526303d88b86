"""What waits in front of a pod ends well when the jobs' work is done, whoever did it, and says why while it is not."""

from __future__ import annotations

from pathlib import Path

from tests.programs.database.programs import Program, eventually


def waiting(uri: str, room: Path, name: str, **more: str) -> Program:
    store = room / "artifacts"
    env = {"MLFLOW_BACKEND_STORE_URI": uri, "MLFLOW_ARTIFACTS_DESTINATION": str(store), "HOMEPORT_AUTH": "off"}
    return Program("homeport.tracking.waiting", {**env, **more}, room / name)


def test_it_ends_at_once_where_all_is_there(at_head: str, tmp_path: Path) -> None:
    (tmp_path / "artifacts").mkdir()
    assert waiting(at_head, tmp_path, "wait").wait() == "the schema is at head and the artifact store answers\n"


def test_it_waits_for_the_schema_and_the_store_and_says_what_for(empty: str, tmp_path: Path) -> None:
    waits = waiting(empty, tmp_path, "wait")
    eventually(lambda: "waiting for database:" in waits.said and "objectstore:" in waits.said, 30)
    (tmp_path / "artifacts").mkdir()
    eventually(lambda: waits.said.count("waiting for") == 2, 30)
    assert waits.process.poll() is None
    assert (
        "schema created"
        in Program("homeport.tracking.migrate", {"MLFLOW_BACKEND_STORE_URI": empty}, tmp_path / "migrate").wait()
    )
    assert waits.wait().endswith("the schema is at head and the artifact store answers\n")


def test_a_uri_as_operators_write_it_names_no_driver_and_is_understood(at_head: str, tmp_path: Path) -> None:
    (tmp_path / "artifacts").mkdir()
    for scheme in ("postgres", "postgresql"):
        uri = at_head.replace("postgresql+psycopg2", scheme)
        assert "schema is at head" in waiting(uri, tmp_path, scheme).wait()
        assert (
            "schema at head"
            in Program(
                "homeport.tracking.migrate", {"MLFLOW_BACKEND_STORE_URI": uri}, tmp_path / f"{scheme}-migrate"
            ).wait()
        )


def test_after_its_time_it_says_what_is_missing_and_which_job_to_look_at(empty: str, tmp_path: Path) -> None:
    (tmp_path / "artifacts").mkdir()
    error = waiting(empty, tmp_path, "wait", HOMEPORT_WAIT_SECONDS="1").reason()
    assert error["code"] == "STILL_WAITING"
    assert "found none" in str(error["evidence"])
    assert "kubectl" in str(error["fix"])
