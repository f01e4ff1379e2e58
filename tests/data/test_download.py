"""Downloads from a real HTTP server in this process that misbehaves as real ones do."""

import hashlib
import random
import re
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from face_generation.data.celeba import FILES, RawFile
from face_generation.data.download import OFFICIAL_PAGE, download
from face_generation.errors import UserError

SCRIPT = Path(__file__).parents[2] / "scripts" / "download_data.py"
CONTENT = b"PK\x03\x04" + random.Random(0).randbytes(4_000_000)
QUOTA_PAGE = b"<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head></html>"

MakeFile = Callable[..., RawFile]


class Server(ThreadingHTTPServer):
    """Has `content` at every path but /missing and /quota."""

    daemon_threads = True
    content = CONTENT
    cut_after: int | None = None  # bytes of each answer, then the connection is closed
    stall_after: int | None = None  # bytes of each answer, then the connection hangs
    honours_range = True
    announces_length = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = 0
        self.continued_from: list[int] = []
        self.closing = threading.Event()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        server.requests += 1
        if self.path.startswith("/missing"):
            self.send_error(404)
            return
        content = QUOTA_PAGE if self.path.startswith("/quota") else server.content
        start = 0
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if wanted and server.honours_range:
            start = int(wanted[1])
            server.continued_from.append(start)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if server.announces_length:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        try:
            self.wfile.write(content[start:][: server.cut_after or server.stall_after])
        except OSError:  # the client has seen enough
            return
        if server.stall_after:
            server.closing.wait()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def file_at(server: Server) -> MakeFile:
    """Makes the description of a small archive that is said to be at these paths of the server."""

    def make(*paths: str, size: int = len(CONTENT)) -> RawFile:
        return RawFile("faces.zip", size, hashlib.md5(CONTENT).hexdigest(), "", tuple(map(server.url, paths)))

    return make


@pytest.fixture
def nowhere() -> Iterator[str]:
    """An address that refuses connections."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{closed.getsockname()[1]}"


def sizes(folder: Path) -> list[int]:
    return [path.stat().st_size for path in folder.iterdir()]


def assert_whole_and_alone(folder: Path) -> None:
    assert [path.name for path in folder.iterdir()] == ["faces.zip"]
    assert (folder / "faces.zip").read_bytes() == CONTENT


@pytest.mark.parametrize("announces_length", [True, False])
def test_whole_file_arrives(file_at, server, tmp_path, capsys, announces_length):
    server.announces_length = announces_length
    download(file_at("faces.zip"), tmp_path / "new" / "data")

    assert_whole_and_alone(tmp_path / "new" / "data")
    assert (tmp_path / "new" / "data" / "faces.zip").stat().st_mode & 0o777 == 0o644
    captured = capsys.readouterr()
    assert "downloaded" in captured.out
    assert "faces.zip: 100%" in captured.err


def test_doing_it_again_asks_no_server(file_at, server, tmp_path, capsys):
    download(file_at("faces.zip"), tmp_path)
    asked = server.requests
    download(file_at("faces.zip"), tmp_path)

    assert server.requests == asked
    assert "already there" in capsys.readouterr().out


def test_connection_cut_again_and_again_is_resumed(file_at, server, tmp_path):
    server.cut_after = 1_100_000
    download(file_at("faces.zip"), tmp_path)

    assert_whole_and_alone(tmp_path)
    assert len(server.continued_from) == 3
    assert 0 < server.continued_from[0] < server.continued_from[1] < server.continued_from[2]


def test_killed_download_is_continued_by_the_next_run(file_at, server, nowhere, tmp_path):
    server.stall_after = 1_000_000
    file = file_at("faces.zip")
    code = f"from face_generation.data.download import *; download({file!r}, Path({str(tmp_path)!r}))"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while sum(sizes(tmp_path)) < 500_000 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    (received,) = sizes(tmp_path)
    assert received >= 500_000

    with pytest.raises(UserError, match="no connection"):
        download(file, tmp_path, mirror=nowhere)
    assert sizes(tmp_path) == [received]

    server.stall_after = None
    download(file, tmp_path)
    assert_whole_and_alone(tmp_path)
    assert server.continued_from == [received]


def test_server_without_ranges_starts_over(file_at, server, tmp_path):
    server.honours_range = False
    server.cut_after = 1_100_000
    with pytest.raises(UserError, match="did not honor the requested byte range"):
        download(file_at("faces.zip"), tmp_path)
    assert 0 < sizes(tmp_path)[0] < len(CONTENT)

    server.cut_after = None
    download(file_at("faces.zip"), tmp_path)
    assert_whole_and_alone(tmp_path)


def test_a_web_page_in_place_of_the_file_is_named(file_at, server, tmp_path):
    server.honours_range = False
    server.cut_after = 1_100_000
    with pytest.raises(UserError):
        download(file_at("faces.zip"), tmp_path)
    received = sizes(tmp_path)
    assert received[0] > 0

    with pytest.raises(UserError, match='web page titled "Google Drive - Quota exceeded"'):
        download(file_at("quota"), tmp_path)
    assert sizes(tmp_path) == received


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(CONTENT[:-1] + b"?", "its MD5 is", id="checksum"),
        pytest.param(CONTENT + b"?", "it has 4,000,005 bytes, not 4,000,004", id="size"),
        pytest.param(b"\0" + CONTENT[1:], "it is not a zip", id="kind"),
        pytest.param(b"", "it has 0 bytes", id="empty"),
    ],
)
def test_wrong_file_is_refused_and_removed(file_at, server, tmp_path, content, reason):
    server.content = content
    with pytest.raises(UserError, match=reason):
        download(file_at("faces.zip"), tmp_path)

    assert sizes(tmp_path) == []


def test_next_source_is_tried(file_at, tmp_path):
    download(file_at("missing", "quota", "faces.zip"), tmp_path)

    assert_whole_and_alone(tmp_path)


def test_without_a_source_the_message_tells_what_to_do(file_at, server, tmp_path):
    with pytest.raises(UserError) as failure:
        download(file_at("missing", "quota"), tmp_path)

    message = str(failure.value)
    assert f"{server.url('missing')}: 404 Not Found" in message
    assert "Quota exceeded" in message
    assert OFFICIAL_PAGE in message
    assert str(tmp_path) in message
    assert "\n" not in message


def test_disk_too_small_is_found_before_any_request(file_at, server, tmp_path):
    with pytest.raises(UserError, match=r"faces\.zip still needs 1,000,000,000\.0 MB and .* free; make room"):
        download(file_at("faces.zip", size=10**15), tmp_path)

    assert server.requests == 0
    assert sizes(tmp_path) == []


def test_write_that_fails_on_the_way_keeps_what_arrived(file_at, server, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(UserError, match=r"cannot read or write .*File too large"):
            download(file_at("faces.zip"), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    download(file_at("faces.zip"), tmp_path)
    assert_whole_and_alone(tmp_path)
    assert server.continued_from == [1_000_000]


def test_folder_that_is_a_file(file_at, tmp_path):
    (tmp_path / "data").write_text("mine")
    with pytest.raises(UserError, match="cannot read or write"):
        download(file_at("faces.zip"), tmp_path / "data")


def test_another_file_under_the_name_is_left_alone(file_at, server, tmp_path, capsys):
    (tmp_path / "faces.zip").write_bytes(b"PK my own subset")
    with pytest.raises(UserError, match=r"faces\.zip is not the official file.*move it away"):
        download(file_at("faces.zip"), tmp_path)

    download(file_at("faces.zip"), tmp_path, keep_existing=True)
    assert "not checked" in capsys.readouterr().out
    assert (tmp_path / "faces.zip").read_bytes() == b"PK my own subset"
    assert server.requests == 0


def run_script(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )


def test_script_ends_with_one_line_when_the_mirror_has_nothing(server, tmp_path):
    process = run_script(tmp_path / "data", "--mirror", server.url("missing"))

    assert process.returncode == 2
    (line,) = process.stderr.splitlines()
    assert line.startswith("error: no source gave img_align_celeba.zip")
    assert f"{server.url('missing')}/img_align_celeba.zip: 404" in line
    assert OFFICIAL_PAGE in line


def test_script_keeps_files_of_the_users_own(nowhere, tmp_path):
    for name in FILES:
        (tmp_path / name).write_text("mine")
    process = run_script(tmp_path, "--keep-existing", "--mirror", nowhere)

    assert process.returncode == 0, process.stderr
    assert process.stdout.count("kept as it is, not checked") == 3
