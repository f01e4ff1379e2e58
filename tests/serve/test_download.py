"""Downloads from a real HTTP server in this process that breaks off as real ones do."""

import base64
import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random

import pytest

from face_generation.errors import UserError
from face_generation.serve.browser.download import Archive, download

CONTENT = Random(0).randbytes(1_000_000)
REMEDY = "say runtime=FOLDER"


class Server(ThreadingHTTPServer):
    daemon_threads = True
    content = CONTENT
    cut_after: int | None = None  # bytes of each answer
    honours_range = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.began_at: list[int] = []

    @property
    def archive(self) -> Archive:
        digest = base64.b64encode(hashlib.sha512(CONTENT).digest()).decode()
        return Archive(f"http://127.0.0.1:{self.server_port}/a/b.tgz", len(CONTENT), f"sha512-{digest}")


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(wanted[1]) if wanted and server.honours_range else 0
        server.began_at.append(start)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(server.content) - start))
        self.end_headers()
        self.wfile.write(server.content[start:][: server.cut_after])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_download_that_breaks_off_is_continued(server: Server, tmp_path: Path) -> None:
    server.cut_after = 400_000

    path = download(server.archive, tmp_path, REMEDY)

    assert path == tmp_path / "b.tgz"
    assert path.read_bytes() == CONTENT
    assert server.began_at == [0, 400_000, 800_000]
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_there_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    download(server.archive, tmp_path, REMEDY)
    download(server.archive, tmp_path, REMEDY)

    assert server.began_at == [0]


def test_a_server_that_cannot_continue_starts_over(server: Server, tmp_path: Path) -> None:
    server.honours_range = False
    (tmp_path / "b.tgz.part").write_bytes(CONTENT[:1000])

    assert download(server.archive, tmp_path, REMEDY).read_bytes() == CONTENT


def test_another_file_than_the_right_one_is_refused(server: Server, tmp_path: Path) -> None:
    server.content = CONTENT[:-1] + b"?"

    with pytest.raises(UserError, match=f"gave the wrong file; {REMEDY}"):
        download(server.archive, tmp_path, REMEDY)
    assert list(tmp_path.iterdir()) == []


def test_without_a_network_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"could not be .*refused.*; run this again to continue, or {REMEDY}"):
        download(Archive("http://127.0.0.1:9/b.tgz", 1, "sha512-"), tmp_path, REMEDY)
