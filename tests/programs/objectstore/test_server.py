"""The embedded store lets nobody in without the key, and keeps what it acknowledged."""

from __future__ import annotations

import os
import shutil
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest
from botocore.exceptions import ClientError

from homeport.errors import HomeportError
from homeport.objectstore import server
from homeport.objectstore.server import StoreConfig, command, environment, find_binary
from tests.programs.objectstore.store import ACCESS, SECRET, Store

MIB = 2**20


def refused(call: object, **arguments: object) -> int:
    with pytest.raises(ClientError) as caught:
        call(**arguments)  # type: ignore[operator]  # a method of a client that is made at run time
    return int(caught.value.response["ResponseMetadata"]["HTTPStatusCode"])


def test_a_signed_request_is_served(running: Store) -> None:
    running.client().create_bucket(Bucket="signed")
    running.client().put_object(Bucket="signed", Key="a/b", Body=b"bytes")
    assert running.client().get_object(Bucket="signed", Key="a/b")["Body"].read() == b"bytes"


@pytest.mark.parametrize("path", ["/", "/open", "/open/key", "/open?list-type=2"])
def test_an_unsigned_request_is_refused(running: Store, path: str) -> None:
    (running.data / "open").mkdir(exist_ok=True)
    (running.data / "open" / "key").write_text("secret")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(running.endpoint + path)
    with caught.value as answer:
        assert 400 <= answer.code < 500


def test_a_wrong_secret_is_refused(running: Store) -> None:
    assert refused(running.client(secret_key="wrong").list_buckets) == 403


def test_an_unknown_access_key_is_refused(running: Store) -> None:
    assert refused(running.client(access_key="AKIAOTHER").list_buckets) == 403


def test_an_empty_secret_is_refused(running: Store) -> None:
    # botocore signs with an empty secret only when it is not quite empty.
    assert refused(running.client(secret_key=" ").put_object, Bucket="open", Key="x", Body=b"") == 403


@pytest.mark.parametrize("key", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
@pytest.mark.parametrize("value", [" ", "a,b", "a\nb", " a"])
def test_a_key_the_store_would_misread_is_refused_before_it_starts(store: Store, key: str, value: str) -> None:
    store.env[key] = value
    assert store.launch().refused() == "OBJECTSTORE_KEY_INVALID"


@pytest.mark.parametrize("key", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_without_a_key_it_does_not_start(store: Store, key: str) -> None:
    store.env[key] = ""
    error = store.launch().reason()
    assert (error["code"], error["exit_code"]) == ("SECRET_MISSING", 2)
    assert f"{key}_FILE" in error["what"]


def test_an_inherited_configuration_of_rclone_opens_nothing(store: Store, tmp_path: Path) -> None:
    (tmp_path / "rclone.conf").write_text("[x]\ntype = local\n")
    store.env |= {"RCLONE_AUTH_PROXY": "/bin/true", "RCLONE_CONFIG": str(tmp_path / "rclone.conf"), "RCLONE_RC": "true"}
    program = store.start()
    assert refused(store.client(secret_key="wrong").list_buckets) == 403
    inherited = psutil.Process(program.pid).environ()
    assert {name for name in inherited if name.startswith("RCLONE_")} == {"RCLONE_CONFIG", "RCLONE_AUTH_KEY"}


def test_no_key_stands_in_the_command_line(running: Store) -> None:
    line = " ".join(psutil.Process(running.programs[0].pid).cmdline())
    assert ACCESS not in line
    assert SECRET not in line


def test_the_process_that_was_started_is_the_server_itself(running: Store) -> None:
    assert psutil.Process(running.programs[0].pid).name() == "rclone"


def test_an_acknowledged_object_survives_a_kill(store: Store) -> None:
    program = store.start()
    store.client().create_bucket(Bucket="kept")
    body = os.urandom(3 * MIB)
    store.client().put_object(Bucket="kept", Key="a/model.bin", Body=body)
    program.kill()
    assert (store.data / "kept" / "a" / "model.bin").read_bytes() == body
    store.start()
    assert store.client().get_object(Bucket="kept", Key="a/model.bin")["Body"].read() == body


def test_an_acknowledged_multipart_upload_survives_a_kill(store: Store) -> None:
    program = store.start()
    s3 = store.client()
    s3.create_bucket(Bucket="kept")
    body = os.urandom(33 * MIB)
    upload = s3.create_multipart_upload(Bucket="kept", Key="big")["UploadId"]
    pieces = {number: body[(number - 1) * 11 * MIB : number * 11 * MIB] for number in (1, 2, 3)}
    tags = {
        number: s3.upload_part(Bucket="kept", Key="big", UploadId=upload, PartNumber=number, Body=pieces[number])[
            "ETag"
        ]
        for number in (1, 3, 2)
    }
    parts = [{"PartNumber": number, "ETag": tags[number]} for number in sorted(tags)]
    s3.complete_multipart_upload(Bucket="kept", Key="big", UploadId=upload, MultipartUpload={"Parts": parts})  # type: ignore[typeddict-item]  # built, not literal
    program.kill()
    store.start()
    assert store.client().get_object(Bucket="kept", Key="big")["Body"].read() == body


def test_an_upload_that_was_killed_half_way_is_not_there(store: Store) -> None:
    program = store.start()
    s3 = store.client()
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="model", Body=b"before")
    upload = s3.create_multipart_upload(Bucket="kept", Key="model")["UploadId"]
    s3.upload_part(Bucket="kept", Key="model", UploadId=upload, PartNumber=1, Body=os.urandom(6 * MIB))
    program.kill()
    store.start()
    assert [one["Key"] for one in store.client().list_objects_v2(Bucket="kept")["Contents"]] == ["model"]
    assert store.client().get_object(Bucket="kept", Key="model")["Body"].read() == b"before"


def test_what_an_upload_that_was_killed_left_behind_is_cleared_away(store: Store) -> None:
    program = store.start()
    store.client().create_bucket(Bucket="kept")
    program.stop()
    left = [store.data / "kept" / ".rclone_temp_put_1", store.data / "kept" / "a" / ".rclone_temp_multipart_2"]
    left[1].parent.mkdir()
    for file in left:
        file.write_bytes(b"half")
    store.start()
    assert not any(file.exists() for file in left)


def test_a_deleted_data_directory_is_made_again(store: Store) -> None:
    program = store.start()
    store.client().create_bucket(Bucket="gone")
    program.stop()
    shutil.rmtree(store.data)
    store.start()
    assert store.client().list_buckets()["Buckets"] == []


def test_deleting_the_last_object_leaves_the_bucket(running: Store) -> None:
    s3 = running.client()
    s3.create_bucket(Bucket="emptied")
    s3.put_object(Bucket="emptied", Key="only", Body=b"")
    s3.delete_object(Bucket="emptied", Key="only")
    s3.head_bucket(Bucket="emptied")


def test_objects_are_readable_by_nobody_else(running: Store) -> None:
    running.client().create_bucket(Bucket="private")
    running.client().put_object(Bucket="private", Key="a/b", Body=b"x")
    for path in (running.data / "private", running.data / "private" / "a", running.data / "private" / "a" / "b"):
        assert path.stat().st_mode & 0o077 == 0


def test_a_second_server_over_the_same_directory_is_refused(running: Store, tmp_path: Path) -> None:
    second = Store(running.data, tmp_path)
    assert second.launch().refused() == "OBJECTSTORE_IN_USE"


def test_a_taken_port_names_it(running: Store, store: Store) -> None:
    store.env["HOMEPORT_LISTEN_PORT"] = str(running.port)
    error = store.launch().reason()
    assert error["code"] == "PORT_TAKEN"
    assert str(running.port) in error["what"]


def test_a_directory_that_cannot_be_written_is_refused(store: Store) -> None:
    store.env["HOMEPORT_DATA"] = "/proc/homeport/data"
    assert store.launch().refused() == "OBJECTSTORE_DATA_UNUSABLE"


def test_a_full_disk_says_needed_and_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_LEAST_SPACE", 2**60)
    with pytest.raises(HomeportError) as caught:
        server.prepare(tmp_path)
    assert caught.value.code == "OBJECTSTORE_FULL"
    assert dict(caught.value.evidence)["needed"] == f"{2**40} MiB"


def test_an_address_beyond_loopback_is_refused(store: Store) -> None:
    store.env["HOMEPORT_LISTEN_HOST"] = "0.0.0.0"
    assert store.launch().refused() == "SETTING_INVALID"


def test_the_command_bounds_its_buffers_and_writes_through() -> None:
    config = StoreConfig(Path("/data"), "::1", 8333, "a", "b")
    line = command(find_binary(), config)
    assert line[1:4] == ["serve", "s3", "--addr=[::1]:8333"]
    assert "--vfs-cache-mode=off" in line
    assert "--multipart-streaming-buffer-total=256Mi" in line
    assert {"--no-checksum", "--buffer-size=0"} <= set(line)  # a download is read once, and hashed never
    assert line[-1] == "/data"


def test_the_key_pair_is_quoted_as_rclone_reads_it() -> None:
    config = StoreConfig(Path("/data"), "127.0.0.1", 8333, "access", 'se"cret')
    assert environment(config, {"PATH": "/bin"})["RCLONE_AUTH_KEY"] == '"access,se""cret"'
