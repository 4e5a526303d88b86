"""The job makes the bucket, proves it, waits for a store that warms up, and tells what it cannot mend."""

from __future__ import annotations

import re
import shutil
import socket
import time

import pytest
from botocore.exceptions import EndpointConnectionError

from homeport.errors import HomeportError
from homeport.objectstore.bucket import BucketConfig, provide
from homeport.objectstore.client import Destination, destination
from homeport.objectstore.refusal import is_warming_up
from homeport.objectstore.refusal import refusal as refused
from tests.programs.database.programs import eventually
from tests.programs.objectstore.store import ACCESS, SECRET, Store, answering


def refusal(endpoint: str, timeout: float = 20.0) -> HomeportError:
    """What the job's own function refuses with, for the answers no store here would give."""
    place = Destination("mlflow")
    config = BucketConfig(place, endpoint, ACCESS, SECRET, "us-east-1", verify=True, timeout=timeout)
    with pytest.raises(HomeportError) as caught:
        provide(config, time.monotonic() + timeout)
    return caught.value


def test_a_missing_bucket_is_made_and_proven(running: Store) -> None:
    said = running.job(MLFLOW_ARTIFACTS_DESTINATION="s3://made-now").wait()
    assert re.fullmatch(r'bucket "made-now" created, put/get/delete verified in \d+\.\d s\n', said)
    assert (running.data / "made-now").is_dir()


def test_a_bucket_that_exists_is_found_and_its_objects_are_left_alone(running: Store) -> None:
    running.job(MLFLOW_ARTIFACTS_DESTINATION="s3://twice").wait()
    running.client().put_object(Bucket="twice", Key="kept", Body=b"kept")
    assert 'bucket "twice" found' in running.job(MLFLOW_ARTIFACTS_DESTINATION="s3://twice").wait()
    assert [one["Key"] for one in running.client().list_objects_v2(Bucket="twice")["Contents"]] == ["kept"]


def test_a_prefix_is_proven_and_nothing_is_left_in_it(running: Store) -> None:
    running.job(MLFLOW_ARTIFACTS_DESTINATION="s3://with-prefix/team/a").wait()
    assert "Contents" not in running.client().list_objects_v2(Bucket="with-prefix")


def test_a_deleted_bucket_directory_is_made_again_by_the_job(running: Store) -> None:
    running.job(MLFLOW_ARTIFACTS_DESTINATION="s3://deleted").wait()
    shutil.rmtree(running.data / "deleted")
    running.job(MLFLOW_ARTIFACTS_DESTINATION="s3://deleted").wait()
    assert (running.data / "deleted").is_dir()


def test_two_jobs_at_once_both_succeed(running: Store) -> None:
    jobs = [running.job(MLFLOW_ARTIFACTS_DESTINATION="s3://raced") for _ in range(2)]
    for job in jobs:
        assert "verified" in job.wait()


def test_a_store_that_starts_later_is_waited_for(store: Store) -> None:
    job = store.job()
    eventually(lambda: job.process.poll() is None)
    store.start()
    assert "created" in job.wait()


def test_a_store_that_says_it_is_not_ready_is_asked_again() -> None:
    with answering((503, "ServiceUnavailable", ""), (500, "InternalError", ""), (403, "AccessDenied", "")) as endpoint:
        assert refusal(endpoint).code == "BUCKET_FORBIDDEN"


def test_a_store_that_never_answers_is_given_up_with_its_address(store: Store) -> None:
    error = store.job(HOMEPORT_BUCKET_TIMEOUT="0.3").reason()
    assert error["code"] == "OBJECTSTORE_UNREACHABLE"
    assert store.endpoint in error["what"]


def test_a_wrong_secret_fails_at_once(running: Store) -> None:
    job = running.job(AWS_SECRET_ACCESS_KEY="wrong", HOMEPORT_BUCKET_TIMEOUT="600")
    assert job.refused() == "OBJECTSTORE_KEYS_REFUSED"


def test_an_unknown_access_key_fails_at_once(running: Store) -> None:
    job = running.job(AWS_ACCESS_KEY_ID="AKIAOTHER", HOMEPORT_BUCKET_TIMEOUT="600")
    assert job.refused() == "OBJECTSTORE_KEYS_REFUSED"


def test_a_bad_bucket_name_says_which(running: Store) -> None:
    error = running.job(MLFLOW_ARTIFACTS_DESTINATION="s3://Not_A_Bucket").reason()
    assert error["code"] == "BUCKET_NAME_INVALID"
    assert '"Not_A_Bucket"' in error["what"]


def answers(code: str, status: int = 403, message: str = "as it is") -> tuple[int, str, str]:
    return (status, code, message)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (answers("RequestTimeTooSkewed"), "OBJECTSTORE_CLOCK_SKEW"),
        (answers("AccessDenied"), "BUCKET_FORBIDDEN"),
        (answers("ExpiredToken", 400), "OBJECTSTORE_KEYS_EXPIRED"),
        (answers("AuthorizationHeaderMalformed", 400), "BUCKET_REGION"),
        (answers("", 301), "OBJECTSTORE_REDIRECTS"),
        (answers("Strange", 418), "OBJECTSTORE_FAILED"),
    ],
)
def test_a_refusal_is_told_apart_from_others(answer: tuple[int, str, str], code: str) -> None:
    with answering(answer) as endpoint:
        error = refusal(endpoint, timeout=600.0)
    assert error.code == code
    assert dict(error.evidence)["store"] == endpoint
    assert answer[1] in dict(error.evidence)["last answer"]


def test_a_bucket_of_another_owner_is_forbidden() -> None:
    # HEAD: missing; PUT: it exists; HEAD again: forbidden; GET: why
    conversation = [answers("", 404), answers("BucketAlreadyExists", 409), answers(""), answers("AccessDenied")]
    with answering(*conversation) as endpoint:
        assert refusal(endpoint).code == "BUCKET_FORBIDDEN"


@pytest.mark.parametrize(
    "answer", [answers("InsufficientStorage", 507), answers("InternalError", 500, "write /x: no space left on device")]
)
def test_a_full_disk_is_said_at_once(answer: tuple[int, str, str]) -> None:
    with answering(answers("", 200), answer) as endpoint:
        assert refusal(endpoint, timeout=600.0).code == "OBJECTSTORE_FULL"


def test_a_store_that_fails_at_every_write_says_that_its_disk_may_be_full() -> None:
    with answering(answers("", 200), answers("InternalError", 500, "Internal Error")) as endpoint:
        error = refusal(endpoint, timeout=0.0)
    assert error.code == "OBJECTSTORE_WRITE_FAILED"
    assert "disk is full" in error.why


def test_other_bytes_than_were_put_are_corruption() -> None:
    with answering(answers("other bytes", 200)) as endpoint:
        assert refusal(endpoint).code == "OBJECTSTORE_CORRUPTS"


def lookup_failed(number: int) -> EndpointConnectionError:
    return EndpointConnectionError(endpoint_url="http://store:1", error=socket.gaierror(number, "lookup"))


def test_a_host_that_does_not_exist_is_not_waited_for() -> None:
    error = lookup_failed(socket.EAI_NONAME)
    assert not is_warming_up(error)
    assert refused(error, Destination("mlflow"), "http://store:1").code == "OBJECTSTORE_UNKNOWN_HOST"


def test_a_look_up_that_failed_for_now_is_waited_for() -> None:
    assert is_warming_up(lookup_failed(socket.EAI_AGAIN))


def test_plain_http_behind_https_is_said(running: Store) -> None:
    assert refusal(running.endpoint.replace("http:", "https:")).code == "OBJECTSTORE_TLS"


def test_an_endpoint_that_is_no_url_is_said() -> None:
    assert refusal("store:8333").code == "OBJECTSTORE_ENDPOINT_INVALID"


def test_no_keys_at_all_are_said(store: Store) -> None:
    job = store.job(
        AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="", AWS_EC2_METADATA_DISABLED="true", HOME="/nonexistent"
    )
    assert job.refused() == "OBJECTSTORE_KEYS_MISSING"


def test_an_access_key_without_its_secret_names_both_variables(store: Store) -> None:
    error = store.job(AWS_SECRET_ACCESS_KEY="").reason()
    assert error["code"] == "SECRET_MISSING"
    assert "AWS_SECRET_ACCESS_KEY_FILE" in error["what"]


def test_a_destination_that_is_not_s3_is_refused() -> None:
    with pytest.raises(HomeportError) as caught:
        destination("gs://bucket")
    assert caught.value.code == "DESTINATION_INVALID"


def test_a_destination_is_a_bucket_and_a_prefix() -> None:
    assert destination("s3://b/team/a/") == Destination("b", "team/a")
    assert destination("s3://b").key("probe") == "probe"
    assert destination("s3://b/p").key("probe") == "p/probe"
