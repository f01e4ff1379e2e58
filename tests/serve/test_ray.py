"""The service on a real Ray cluster, whose nodes are processes of this machine."""

import http.client
import io
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import yaml
from PIL import Image

from face_generation.errors import UserError
from face_generation.generator import Generator
from face_generation.serve.ray import app

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(sys.executable).parent
HOST = "127.0.0.1"
CLIENTS = 8
SECONDS = 120  # until what is waited for must be there, on a machine that is busy with other things as well


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return listener.getsockname()[1]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.02)


def ended(process: psutil.Process) -> bool:
    """Whether all threads of a process have ended, and so its connections; its parent may still have to notice."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1
    except psutil.NoSuchProcess:
        return True


class Node:
    """A Ray node: a process, and all that it starts."""

    def __init__(self, process: subprocess.Popen) -> None:
        self.top = psutil.Process(process.pid)

    def processes(self, title: str = "") -> list[psutil.Process]:
        """Those whose title begins so."""
        found = []
        for process in (self.top, *self.top.children(recursive=True)):
            try:
                if process.cmdline() and process.cmdline()[0].startswith(title):
                    found.append(process)
            except psutil.Error:  # it has just ended
                pass
        return found

    @property
    def replicas(self) -> list[psutil.Process]:
        return self.processes("ray::ServeReplica")

    def listens(self, port: int) -> bool:
        """Whether it takes requests at this port."""
        return any(
            connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            for proxy in self.processes("ray::ProxyActor")
            for connection in proxy.net_connections("tcp")
        )

    def kill(self) -> None:
        """Ends all processes without a word; returns when they are gone."""
        processes = self.processes()
        for process in processes:
            process.kill()
        until(lambda: all(ended(process) for process in processes))


class Cluster:
    """A cluster of one node; more can join. Each has room for two replicas.

    The proxies of all nodes share one port, over which the system spreads connections, about as a load balancer does.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.started: list[subprocess.Popen] = []
        gcs = free_port()
        self.address = f"{HOST}:{gcs}"
        self.head = self._node("--head", f"--port={gcs}", "--include-dashboard=false", f"--temp-dir={folder}/ray")

    def _start(self, *command: str) -> subprocess.Popen:
        environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
        with (self.folder / f"{len(self.started)}.log").open("wb") as log:
            process = subprocess.Popen(
                [SCRIPTS / command[0], *command[1:]], env=environment, cwd=ROOT, stdout=log, stderr=log
            )
        self.started.append(process)
        return process

    def join(self) -> Node:
        """Another node."""
        return self._node(f"--address={self.address}")

    def _node(self, *options: str) -> Node:
        ports = [f"--{kind}-port={free_port()}" for kind in ("metrics-export", "runtime-env-agent")]
        common = ["--block", f"--node-ip-address={HOST}", "--num-cpus=2", "--object-store-memory=80000000"]
        node = Node(self._start("ray", "start", *common, *ports, *options))
        log = self.folder / f"{len(self.started) - 1}.log"
        until(lambda: "Ray runtime started" in log.read_text())
        return node

    def serve(self, replicas: int, **options: Any) -> None:
        """Deploys deploy/ray.yaml with replicas of one core each, and waits until it answers."""
        config = yaml.safe_load((ROOT / "deploy/ray.yaml").read_text(encoding="utf-8"))
        config["http_options"].update(host=HOST, port=self.port)
        (application,) = config["applications"]
        application["args"].update(options, workers=1)
        (deployment,) = application["deployments"]
        deployment["ray_actor_options"]["num_cpus"] = 1
        deployment["autoscaling_config"].update(min_replicas=replicas, max_replicas=replicas)
        path = self.folder / "ray.yaml"
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        self._start("serve", "run", f"--address={self.address}", str(path))
        until(self.answers)

    def answers(self) -> bool:
        try:
            return self.get("/ready")[0] == 200
        except OSError:
            return False

    def get(self, path: str) -> tuple[int, http.client.HTTPMessage, bytes]:
        """One request on a connection of its own, as it is of many clients behind a load balancer."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=SECONDS)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def stop(self) -> None:
        """Ends everything; nothing may be left."""
        processes = [process for top in self.started if top.poll() is None for process in Node(top).processes()]
        for process in reversed(self.started):
            process.send_signal(signal.SIGINT)
            process.wait(SECONDS)
        _, left = psutil.wait_procs(processes, timeout=SECONDS)
        for process in left:
            process.kill()
        assert not left


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="ray") as folder:  # a short path, as Ray's sockets need
        cluster = Cluster(Path(folder))
        try:
            yield cluster
        finally:
            cluster.stop()


@dataclass(frozen=True)
class Request:
    begun: float  # seconds
    ended: float
    outcome: int | str  # the status, or what went wrong


class Clients:
    """Ask for one new face after another, all at once, until `stop`."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.requests: list[Request] = []
        self.stopping = False
        self.threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def _ask(self, number: int) -> None:
        for seed in itertools.count(number, CLIENTS):
            if self.stopping:
                return
            begun = time.perf_counter()
            try:
                outcome: int | str = self.cluster.get(f"/api/v1/vae/faces/{seed}.png")[0]
            except (OSError, http.client.HTTPException) as error:
                outcome = repr(error)
            self.requests.append(Request(begun, time.perf_counter(), outcome))

    def stop(self) -> list[Request]:
        self.stopping = True
        for thread in self.threads:
            thread.join()
        return self.requests


def test_mistakes_in_arguments_are_told() -> None:
    with pytest.raises(UserError, match="workers"):
        app({"workers": "many"})
    with pytest.raises(UserError, match="no option limit"):
        app({"limit.queue": "64"})


def test_the_page_and_the_faces_are_those_of_one_machine(cluster: Cluster, tiny_bundle: Path) -> None:
    cluster.serve(replicas=1, bundles=[str(tiny_bundle)], limits={"faces": 3})

    status, headers, page = cluster.get("/")
    assert status == 200
    assert b"<title>" in page
    assert headers["Content-Security-Policy"]
    assert len(headers.get_all("X-Request-ID")) == 1

    status, headers, picture = cluster.get("/api/v1/tiny/faces/7.png?truncation=0.5")
    assert status == 200
    assert "immutable" in headers["Cache-Control"]
    expected = Generator.load(tiny_bundle).sample(1, seed=7, truncation=0.5)[0]
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(picture))), expected)

    assert json.loads(cluster.get("/api/v1/bundles")[2])["limits"]["faces"] == 3
    assert cluster.get("/api/v1/tiny/faces/seven.png")[0] == 422


@pytest.mark.slow
def test_a_lost_node_takes_only_what_it_was_at(cluster: Cluster) -> None:
    other = cluster.join()
    cluster.serve(replicas=2, bundles=["vae"])
    until(lambda: all(node.replicas and node.listens(cluster.port) for node in (cluster.head, other)))

    clients = Clients(cluster)
    (replica,) = other.replicas
    before = replica.cpu_times().user
    until(lambda: replica.cpu_times().user > before + 1)
    killed = time.perf_counter()
    other.kill()
    gone = time.perf_counter()
    until(lambda: len(cluster.head.replicas) == 2)
    recovered = time.perf_counter()
    time.sleep(2)
    requests = clients.stop()

    failed = [request for request in requests if request.outcome != 200]
    in_flight = [request for request in requests if request.begun < gone and request.ended > killed]
    after = [request for request in requests if request.begun > gone]
    print(
        f"{len(requests)} requests, {len(failed)} failed of {len(in_flight)} in flight while the node died "
        f"({1000 * (gone - killed):.0f} ms); two replicas again after {recovered - killed:.1f} s; "
        f"the slowest request after took {max(request.ended - request.begun for request in after):.2f} s"
    )
    assert set(failed) <= set(in_flight)
    assert len(after) > CLIENTS
