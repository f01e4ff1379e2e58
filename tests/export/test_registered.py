"""A bundle as an MLflow model: it draws what the bundle draws, without torch and without the package."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import requests
import yaml

from face_generation.export.registered import write_mlflow_model
from face_generation.generator import Bundle, Generator

# Draws with the model in a process that has only what its requirements name.
DRAW = """
import json, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "pytorch_lightning", "hydra", "omegaconf", "pi_heif", "tqdm"}:
            raise ImportError(name)

sys.meta_path.insert(0, Blocked())
import mlflow, numpy as np
model = mlflow.pyfunc.load_model(sys.argv[1])
calls = json.loads(sys.argv[2])
np.savez("faces.npz", *[model.predict(rows, params=params) for rows, params in calls])
import face_generation
print(face_generation.__file__)
"""


@pytest.fixture(scope="module")
def model(told_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mlflow") / "model"
    write_mlflow_model(Bundle.load(told_bundle), folder)
    return folder


def test_it_draws_what_the_bundle_draws(model: Path, told_bundle: Path, tmp_path: Path) -> None:
    generator = Generator.load(told_bundle)
    latents = generator.latents(2, seed=7)
    options = {"truncation": 0.5, "attributes": {"male": 1}, "edits": {"smiling": 1.5}}
    calls = [({"seed": [0, 5]}, {}), ({"seed": [3]}, options), ({"latents": latents.tolist()}, {})]
    done = subprocess.run(
        [sys.executable, "-P", "-c", DRAW, str(model), json.dumps(calls)],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(model / "code/face_generation/__init__.py")
    faces = np.load(tmp_path / "faces.npz")
    assert np.array_equal(faces["arr_0"], np.concatenate([generator.sample(1, 0), generator.sample(1, 5)]))
    assert np.array_equal(faces["arr_1"], generator.sample(1, 3, 0.5, {"smiling": 1.5}, {"male": 1}))
    assert np.array_equal(faces["arr_2"], generator.decode(latents))


def test_its_requirements_are_pinned_and_have_no_torch(model: Path) -> None:
    requirements = (model / "requirements.txt").read_text().split()
    assert {line.partition("==")[0] for line in requirements} == {"mlflow", "numpy", "onnxruntime", "pillow"}
    assert all(line.partition("==")[2] for line in requirements)


def test_its_signature_says_what_can_be_asked_for(model: Path) -> None:
    signature = yaml.safe_load((model / "MLmodel").read_text())["signature"]
    params = {param["name"]: param for param in json.loads(signature["params"])}
    assert params["truncation"]["default"] == 0.8
    assert params["attributes"]["properties"].keys() == {"smiling", "eyeglasses", "male"}  # those that are offered
    assert params["edits"]["properties"].keys() == {"smiling", "eyeglasses", "principal_1"}
    assert json.loads(signature["outputs"])[0]["tensor-spec"] == {"dtype": "uint8", "shape": [-1, 150, 150, 3]}


@pytest.mark.slow
def test_mlflow_serves_it(model: Path, told_bundle: Path, tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(model), "--env-manager", "local"]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen([*command, "--port", port], stdout=log, stderr=log, start_new_session=True)
    try:
        end = time.monotonic() + 240
        answer = None
        while answer is None:
            assert server.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < end
            time.sleep(0.2)
            with suppress(requests.ConnectionError):
                asked = {"inputs": {"seed": [3]}, "params": {"edits": {"smiling": 1.5}}}
                answer = requests.post(f"http://127.0.0.1:{port}/invocations", json=asked)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()

    expected = Generator.load(told_bundle).sample(1, 3, edits={"smiling": 1.5})
    assert np.array_equal(np.array(answer.json()["predictions"]), expected)
