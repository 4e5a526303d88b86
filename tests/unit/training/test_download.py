from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from homeport.errors import HomeportError
from homeport.training.download import WINE_FILE, cache_directory, fetch_wine_quality

CONTENT = b"quality;pH\n" + b"6;3.1\n" * 10_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Archive:
    """A web server on the loopback that answers as told and counts."""

    url: str
    status: int = 200
    body: bytes = CONTENT
    announced: int | None = len(CONTENT)
    requests: list[str] = field(default_factory=list)


@pytest.fixture
def archive() -> Iterator[Archive]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers.requests.append(self.path)
            self.send_response(answers.status)
            if answers.announced is not None:
                self.send_header("Content-Length", str(answers.announced))
            self.end_headers()
            self.wfile.write(answers.body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        answers = Archive(f"http://127.0.0.1:{server.server_port}/wine.csv")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield answers
        server.shutdown()
        thread.join()


def _refused(directory: Path, url: str) -> HomeportError:
    with pytest.raises(HomeportError) as caught:
        fetch_wine_quality(directory, url=url, sha256=SHA256)
    assert "--data" in caught.value.fix
    assert list(directory.iterdir()) == [], "a part of a download was left behind"
    return caught.value


def test_a_download_is_kept_whole_and_made_once(archive: Archive, tmp_path: Path) -> None:
    directory = tmp_path / "made" / "on demand"
    for _ in range(2):
        path = fetch_wine_quality(directory, url=archive.url, sha256=SHA256)
        assert path == directory / WINE_FILE
        assert path.read_bytes() == CONTENT
    assert archive.requests == ["/wine.csv"]
    assert list(directory.iterdir()) == [path]


def test_progress_goes_to_stderr_alone(archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fetch_wine_quality(tmp_path, url=archive.url, sha256=SHA256)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert WINE_FILE in printed.err


def test_a_damaged_file_in_the_cache_is_downloaded_anew(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / WINE_FILE).write_bytes(CONTENT[:-1])
    assert fetch_wine_quality(tmp_path, url=archive.url, sha256=SHA256).read_bytes() == CONTENT


def test_an_answer_without_a_length_is_read_to_its_end(archive: Archive, tmp_path: Path) -> None:
    archive.announced = None
    assert fetch_wine_quality(tmp_path, url=archive.url, sha256=SHA256).read_bytes() == CONTENT


def test_another_file_in_its_place_is_refused_with_both_checksums(archive: Archive, tmp_path: Path) -> None:
    archive.body = CONTENT.replace(b"6", b"7")
    error = _refused(tmp_path, archive.url)
    assert error.code == "DOWNLOAD_CHECKSUM"
    assert SHA256 in error.block()
    assert hashlib.sha256(archive.body).hexdigest() in error.block()


def test_an_endless_answer_is_cut_off_and_refused(archive: Archive, tmp_path: Path) -> None:
    archive.body = b"x" * (8 * 1024 * 1024)
    archive.announced = None
    assert _refused(tmp_path, archive.url).code == "DOWNLOAD_CHECKSUM"


def test_a_download_that_breaks_off_is_refused_with_both_sizes(archive: Archive, tmp_path: Path) -> None:
    archive.body = CONTENT[:30_000]
    error = _refused(tmp_path, archive.url)
    assert error.code == "DOWNLOAD_TRUNCATED"
    assert "30,000 bytes arrived and 30,011 more were announced" in error.block()


@pytest.mark.parametrize("status", [404, 503])
def test_an_error_of_the_archive_is_refused_with_its_status(archive: Archive, tmp_path: Path, status: int) -> None:
    archive.status = status
    error = _refused(tmp_path, archive.url)
    assert error.code == "DOWNLOAD_REFUSED"
    assert f"-> {status}" in error.block()


def test_without_a_network_the_reason_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        error = _refused(tmp_path, f"http://127.0.0.1:{taken.getsockname()[1]}/wine.csv")
    assert error.code == "DOWNLOAD_UNREACHABLE"
    assert "Connection refused" in error.block()


def test_a_failed_download_leaves_the_file_of_before(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / WINE_FILE).write_bytes(b"of before")
    archive.status = 500
    with pytest.raises(HomeportError):
        fetch_wine_quality(tmp_path, url=archive.url, sha256=SHA256)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"of before"]


def test_a_cache_that_cannot_be_written_is_named(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HomeportError) as caught:
        fetch_wine_quality(tmp_path / "file", url=archive.url, sha256=SHA256)
    assert caught.value.code == "CACHE_UNWRITABLE"
    assert "HOMEPORT_CACHE" in caught.value.fix


def test_the_cache_is_where_homeport_cache_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOMEPORT_CACHE", str(tmp_path))
    assert cache_directory() == tmp_path
    monkeypatch.delenv("HOMEPORT_CACHE")
    assert cache_directory().name == "homeport"
