"""The service as a process, and how tests talk to it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from face_generation.generator import Bundle

COMMAND = [sys.executable, "-m", "face_generation.serve"]
SECONDS = 60  # until a server must have begun, logged or stopped, on a machine that is busy with other things as well


@dataclass
class Server:
    """A server that answers."""

    greeting: str  # the first line that it prints
    port: int
    process: subprocess.Popen[bytes]
    log_file: Path
    http: httpx.Client

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self, name: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status."""
        self.process.send_signal(name)
        return self.process.wait(SECONDS)

    def log(self) -> list[dict[str, Any]]:
        lines = self.log_file.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]  # ONNX Runtime writes lines of its own

    def logged(self, answer: httpx.Response) -> dict[str, Any]:
        """The line of a request, which is written after its answer."""
        deadline = time.monotonic() + SECONDS
        while True:
            for line in self.log():
                if line.get("request_id") == answer.headers["x-request-id"]:
                    return line
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric over all labels that are not given."""
        total = 0.0
        for line in self.http.get("/metrics").text.splitlines():
            if line.startswith((f"{name} ", f"{name}{{")) and all(f'{k}="{v}"' in line for k, v in labels.items()):
                total += float(line.rsplit(" ", 1)[1])
        return total


@contextmanager
def running(folder: Path, *options: str, port: int = 0, **environment: str) -> Iterator[Server]:
    """A server on a free port unless one is given, until the block ends: then it must stop with grace."""
    number = sum(1 for _ in folder.glob("server-*.log"))
    log_file, printed = folder / f"server-{number}.log", folder / f"printed-{number}.log"
    with log_file.open("wb") as log, printed.open("wb") as out:
        process = subprocess.Popen(
            [*COMMAND, f"port={port}", *options], stdout=out, stderr=log, env={**os.environ, **environment}, cwd=folder
        )
    try:
        wait_until(lambda: "\n" in printed.read_text(), process, log_file)
        greeting = printed.read_text()
        port = int(re.search(r":(\d+)/", greeting)[1])
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=SECONDS) as http:
            server = Server(greeting, port, process, log_file, http)
            wait_until(lambda: answers(server), process, log_file)
            yield server
        if process.poll() is None:
            assert server.stop() == 0
    finally:
        process.kill()
        process.wait()


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes], log_file: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert process.poll() is None, log_file.read_text()
        assert time.monotonic() < deadline, log_file.read_text()
        time.sleep(0.02)


def answers(server: Server) -> bool:
    try:
        return server.http.get("/ready").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="session")
def plain_bundle(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle under another name, without encoder and directions."""
    folder = tmp_path_factory.mktemp("bundles") / "plain"
    shutil.copytree(tiny_bundle, folder, ignore=shutil.ignore_patterns("encoder.onnx", "directions.json"))
    about = json.loads((folder / "bundle.json").read_text())
    keep = ("latent_shape", "image_size", "training", "metrics", "licence")
    Bundle.write(folder, name="plain", **{key: about[key] for key in keep})
    return folder


@pytest.fixture(scope="session")
def server(
    tiny_bundle: Path, plain_bundle: Path, told_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server of the tiny, the plain and the told bundle, with limits that tests can reach."""
    bundles = f"bundles=[{tiny_bundle},{plain_bundle},{told_bundle}]"
    options = ["limits.faces=20", "limits.frames=30", "limits.upload_megabytes=0.5", "limits.upload_megapixels=1"]
    with running(tmp_path_factory.mktemp("server"), bundles, *options) as server:
        yield server


@pytest.fixture(scope="session")
def http(server: Server) -> httpx.Client:
    return server.http


@pytest.fixture(scope="session")
def serving() -> Callable[..., Any]:
    """`with serving(folder, *options, **environment) as server:` runs a server of its own."""
    return running
