"""What tests in several folders share."""

import io
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from onnx import TensorProto, helper, numpy_helper
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from face_generation.command import configs_folder
from face_generation.data.datamodule import SyntheticDataModule
from face_generation.export.onnx import write_sampler
from face_generation.generator import Bundle
from face_generation.models import checkpoint
from face_generation.models.base import FaceModel
from face_generation.networks.prior import FlowSampler, FlowTransformer
from face_generation.train import __main__ as training

# The files that take longest. They begin first, so that no process still runs one of them when the others are done.
LONGEST = (
    "train/test_train.py",
    "serve/test_page.py",
    "test_dvc.py",
    "test_tracking.py",
    "evaluate/test_evaluate.py",
    "site/test_site.py",
    "push/test_hub.py",
    "models/test_dcgan.py",
    "serve/test_openapi.py",
    "serve/test_page_in_firefox.py",
    "metrics/test_attributes.py",
    "metrics/test_recognition.py",
    "test_tracker.py",
    "serve/test_ray.py",
    "serve/test_operation.py",
    "export/test_export.py",
    "editing/test_measure.py",
)
SECONDS = 120  # until a browser must show what a test waits for, even on a busy machine
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
LATENT_DIM = 8
SIZE = 150
PREFIX = "/some/where"  # that a host of files has its folder under
TOLD = ("smiling", "eyeglasses", "male", "blurry")  # attributes that the prior of a test's bundle takes
TOLD_FACES = [[1, -1, -1, -1], [1, -1, 1, -1], [-1, 1, 1, -1], [-1, -1, -1, 1], [1, 1, -1, -1], [-1, -1, 1, 0]]


def pytest_configure(config: pytest.Config) -> None:
    """Prepares test processes, and the programs that they start.

    Programs that a shell starts in the background ignore Ctrl-C, and so do programs that these start. This is undone.
    If there is a test process for each core, each uses one thread. Files begin in the order of the items, below.
    """
    config.option.loadscopereorder = False
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ["OMP_NUM_THREADS"] = "1"
        torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def save_model(path: Path, nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], *, encoder: bool) -> None:
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", SIZE, SIZE, 3])
    latents = helper.make_tensor_value_info("latents", TensorProto.FLOAT, ["n", LATENT_DIM])
    ends = [images, latents] if encoder else [latents, images]
    initializers = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, path.stem, ends[:1], ends[1:], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of an untrained decoder and encoder of a few kilobytes. Tests that change it do so to a copy."""
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    folder.mkdir()
    random = np.random.RandomState(0)
    node = helper.make_node
    save_model(
        folder / "decoder.onnx",
        [
            node("Gemm", ["latents", "weight", "bias"], ["flat"]),
            node("Reshape", ["flat", "shape"], ["small"]),
            node("Conv", ["small", "kernel"], ["mixed"], pads=[1, 1, 1, 1]),
            node("Resize", ["mixed", "", "scales"], ["large"], mode="linear"),
            node("Sigmoid", ["large"], ["bounded"]),
            node("Mul", ["bounded", "levels"], ["scaled"]),
            node("Transpose", ["scaled"], ["last"], perm=[0, 2, 3, 1]),
            node("Cast", ["last"], ["images"], to=TensorProto.UINT8),
        ],
        {
            "weight": random.standard_normal((LATENT_DIM, 16 * 6 * 6)).astype(np.float32),
            "bias": random.standard_normal(16 * 6 * 6).astype(np.float32),
            "shape": np.array([-1, 16, 6, 6]),
            "kernel": random.standard_normal((3, 16, 3, 3)).astype(np.float32) / 12,
            "scales": np.array([1, 1, 25, 25], dtype=np.float32),
            "levels": np.array(255.999, dtype=np.float32),
        },
        encoder=False,
    )
    save_model(
        folder / "encoder.onnx",
        [
            node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
            node("ReduceMean", ["float", "axes"], ["mean"], keepdims=0),
            node("MatMul", ["mean", "weight"], ["latents"]),
        ],
        {"axes": np.array([1, 2]), "weight": random.standard_normal((3, LATENT_DIM)).astype(np.float32) / 255},
        encoder=True,
    )
    vectors = random.standard_normal((3, LATENT_DIM)).round(3).tolist()
    directions = {
        "attributes": [
            {"name": "smiling", "vector": vectors[0], "figures": {"accuracy": 0.9, "majority": 0.5, "auc": 0.95}},
            {"name": "eyeglasses", "vector": vectors[1], "figures": {"accuracy": 0.8, "majority": 0.8, "auc": 0.75}},
        ],
        "principal": [{"name": "principal_1", "vector": vectors[2], "figures": {"share": 0.25}}],
    }
    (folder / "directions.json").write_text(json.dumps(directions))
    Bundle.write(
        folder,
        name="tiny",
        latent_shape=[LATENT_DIM],
        image_size=SIZE,
        training={"data": "none"},
        metrics={},
        licence="MIT",
    )
    return folder


@pytest.fixture(scope="session")
def told_bundle(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle with an untrained prior that takes four attributes, of which three are offered."""
    folder = tmp_path_factory.mktemp("bundles") / "told"
    shutil.copytree(tiny_bundle, folder)
    torch.manual_seed(0)
    network = FlowTransformer((2, 2, 2), attributes=len(TOLD), patch=1, width=16, depth=1, heads=2)
    for parameter in network.parameters():
        parameter.data.add_(0.3 * torch.randn_like(parameter))
    sampler = FlowSampler(network, torch.zeros(2, 1, 1), torch.ones(2, 1, 1), steps=2, guidance=2.0)
    write_sampler(sampler.eval(), len(TOLD), folder / "prior.onnx")
    np.savez_compressed(folder / "attributes.npz", values=np.array(TOLD_FACES, dtype=np.int8))
    about = json.loads((folder / "bundle.json").read_text())
    Bundle.write(
        folder,
        name="told",
        latent_shape=[2, 2, 2],
        truncation=0.8,
        attributes=[
            {"name": name, "offered": name != "blurry", "found": {"value": 0.9, "low": 0.8, "high": 1.0}}
            for name in TOLD
        ],
        sampler={"steps": 2, "guidance": 2.0},
        **{key: about[key] for key in ("image_size", "training", "metrics", "licence")},
    )
    return folder


@pytest.fixture(scope="session")
def synthetic_splits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic faces, packed: 40 for training, 5 for validation, 5 for test."""
    folder = tmp_path_factory.mktemp("faces") / "splits"
    SyntheticDataModule(str(folder), count=50).prepare_data()
    return folder


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No weights can be fetched, and none are there from before."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")


@pytest.fixture(scope="session")
def train() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`train(folder, *options)` trains as the command does in that folder. It runs in this process, because another one
    would first import torch and MLflow for seconds."""

    lightning = logging.getLogger("pytorch_lightning")
    lightning.handlers.clear()  # its own, which it makes if it is imported before anything else handles logs
    lightning.propagate = True

    def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
        status: Any = 0
        with (
            pytest.MonkeyPatch.context() as patch,
            redirect_stdout(io.StringIO()) as out,
            redirect_stderr(io.StringIO()) as errors,
        ):
            patch.chdir(folder)
            patch.setattr(sys, "argv", ["train.py", *options])
            try:
                training.main()
            except SystemExit as stop:
                status = stop.code
        return subprocess.CompletedProcess(options, status, out.getvalue(), errors.getvalue())

    return run


@pytest.fixture(autouse=True)
def no_tracking_uri() -> Iterator[None]:
    """Forgets the store that a test gave MLflow, which keeps it for the whole process."""
    yield
    if mlflow := sys.modules.get("mlflow"):
        mlflow.set_tracking_uri(None)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's store without runs, to copy, because MLflow takes seconds to make one."""
    from mlflow import MlflowClient  # here, because most tests need no MLflow

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments(max_results=1)
    return path


# Networks of a few channels, whatever the size of the images.
SMALL_NETWORKS = {
    "vae": [
        "model.encoder.latent_channels=2",
        "model.encoder.channels=[8,8,8,8]",
        "model.decoder.channels=[8,8,8,8,8]",
        "model.discriminator.channels=[8,8]",
    ],
    "prior": ["model.network.width=16", "model.network.depth=2", "model.network.heads=2"],
    "dcgan": [
        "model.generator.latent_dim=8",
        "model.generator.channels=[8,8,8,8,8,8]",
        "model.discriminator.channels=[8,8,8,8,8]",
    ],
}
SHAPES: dict[str, dict[str, Any]] = {
    "vae": {"image_size": SIZE},
    "dcgan": {"image_size": SIZE},
    "prior": {
        "latent_shape": [2, 4, 4],
        "latent_mean": [0.5, -0.5],
        "latent_std": [2.0, 1.0],
        "attributes": ["smiling", "male", "young"],
        "autoencoder": "vae",
        "encoder_sha256": Bundle.load("vae").files["encoder.onnx"],
    },
}


@pytest.fixture(scope="session")
def small_networks() -> dict[str, list[str]]:
    """Options of `face_generation.train` that make each model small."""
    return SMALL_NETWORKS


@pytest.fixture(scope="session")
def provenance() -> Callable[..., dict[str, Any]]:
    """Where a small model comes from, as a checkpoint says it: `provenance("vae", "model.clip=1", image_size=64)`."""

    def make(name: str, *options: str, **shapes: Any) -> dict[str, Any]:
        with initialize_config_dir(str(configs_folder()), version_base="1.3"):
            config = compose("train", [f"model={name}", "name=small", "run_dir=.", *SMALL_NETWORKS[name], *options])
        content = OmegaConf.to_container(config, resolve=True)
        shapes = SHAPES[name] | shapes
        return {
            "data": "none",
            "licence": "MIT",
            "config": content,
            "shapes": shapes,
            "git_commit": None,
            "metrics": {},
        }

    return make


@pytest.fixture(scope="session")
def build_model(provenance: Callable[..., dict[str, Any]]) -> Callable[..., FaceModel]:
    """A small model, from the same arguments."""

    def make(name: str, *options: str, **shapes: Any) -> FaceModel:
        torch.manual_seed(0)
        return checkpoint.build(provenance(name, *options, **shapes))

    return make


@pytest.fixture(scope="session")
def runtime() -> Path:
    """ONNX Runtime Web, as npm installs it."""
    folder = Path(__file__).parents[1] / "node_modules" / "onnxruntime-web"
    if not folder.is_dir():
        pytest.skip("no ONNX Runtime Web: npm ci")
    return folder


class _Files(SimpleHTTPRequestHandler):
    def translate_path(self, path: str) -> str:
        return super().translate_path(path.removeprefix(PREFIX))

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="session")
def hosting() -> Callable[[Path], AbstractContextManager[str]]:
    """`with hosting(folder) as address:` is a host of files that has the folder somewhere."""

    @contextmanager
    def host(folder: Path) -> Iterator[str]:
        with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=str(folder))) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            yield f"http://127.0.0.1:{server.server_port}{PREFIX}/"
            server.shutdown()
            thread.join()

    return host


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium. In it, and for `expect`, everything has the same time."""
    if CHROMIUM is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        expect.set_options(timeout=1000 * SECONDS)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()
        expect.set_options(timeout=5_000)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh profile."""
    context = browser.new_context()
    context.set_default_timeout(1000 * SECONDS)
    yield context
    context.close()


@pytest.fixture
def visit(browser: Browser, site: str) -> Iterator[Callable[..., Page]]:
    """`visit(fragment, **context)` opens the page in a fresh profile, at `site` or another address. The test fails if
    the page asks for anything elsewhere, or if the browser complains, other than about answers that are errors where
    they are `refused`."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_page(fragment: str = "", *, address: str = site, refused: bool = False, **context: Any) -> Page:
        contexts.append(browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | context)))
        contexts[-1].set_default_timeout(1000 * SECONDS)
        page = contexts[-1].new_page()

        def listen(message: Any) -> None:
            if message.type in ("error", "warning") and not (
                refused and message.text.startswith("Failed to load resource")
            ):
                complaints.append(message.text)

        page.on("console", listen)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.extend(elsewhere(request.url, address)))
        page.goto(address + fragment)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def elsewhere(url: str, address: str) -> list[str]:
    return [] if url.startswith((address, "blob:", "data:")) else [url]
