"""The service as a process, and how tests talk to it."""

import json
import os
import shutil
import signal
import socket
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


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@dataclass
class Server:
    """A server that answers."""

    port: int
    process: subprocess.Popen[str]
    log_file: Path
    http: httpx.Client

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self, name: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status."""
        self.process.send_signal(name)
        return self.process.wait(30)

    def log(self) -> list[dict[str, Any]]:
        lines = self.log_file.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]  # ONNX Runtime writes lines of its own

    def logged(self, answer: httpx.Response) -> dict[str, Any]:
        """The line of a request, which is written after its answer."""
        deadline = time.monotonic() + 10
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
def running(folder: Path, *options: str, port: int | None = None, **environment: str) -> Iterator[Server]:
    """A server on a free port unless one is given, until the block ends: then it must stop with grace."""
    port = port or free_port()
    log_file = folder / f"server-{port}.log"
    with log_file.open("w") as log:
        process = subprocess.Popen(
            [*COMMAND, f"port={port}", *options],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, **environment},
            cwd=folder,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
            server = Server(port, process, log_file, http)
            deadline = time.monotonic() + 30
            while not answers(server):
                assert process.poll() is None, log_file.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield server
        if process.poll() is None:
            assert server.stop() == 0
    finally:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()


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
