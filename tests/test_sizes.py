"""The whole way, from packing to drawn and measured faces, at other sizes than 150 pixels."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from face_generation.data.datamodule import SyntheticDataModule
from face_generation.data.splits import PackedSplit
from face_generation.generator import Generator

SPLIT = str(Path(__file__).resolve().parents[1] / "scripts" / "train_val_split.py")
ONE_STEP = [
    "data.batch_size=4",
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=1",
    "trainer.limit_val_batches=1",
    "trainer.accelerator=cpu",
    "trainer.precision=32-true",
    "logger=none",
    "measure_edits=false",
]


def run(folder: Path, *command: str) -> None:
    done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def train(folder: Path, name: str, *options: str) -> None:
    run(folder, "-m", "face_generation.train", f"hydra.run.dir={name}", *ONE_STEP, *options)


def packed(folder: Path, size: int) -> None:
    """Packs 60 synthetic faces, as files of 150 pixels, at another size."""
    synthetic = SyntheticDataModule(str(folder / "synthetic"), count=60)
    synthetic.prepare_data()
    (folder / "photos").mkdir()
    for number, face in enumerate(PackedSplit(folder / "synthetic", "train").gather(list(range(48)))):
        Image.fromarray(face.numpy()).save(folder / "photos" / f"{number:03}.png")
    run(folder, SPLIT, "photos", "splits", "--size", str(size))


@pytest.mark.slow
@pytest.mark.parametrize("size", [64, 128])
def test_the_whole_way_at_another_size(tmp_path: Path, size: int, small_networks: dict[str, list[str]]) -> None:
    packed(tmp_path, size)

    train(tmp_path, "vae", "experiment=vae", *small_networks["vae"])
    train(tmp_path, "prior", "experiment=prior", "data.autoencoder=vae/bundle", *small_networks["prior"])
    train(tmp_path, "dcgan", "model=dcgan", *small_networks["dcgan"])
    run(tmp_path, "-m", "face_generation.evaluate", "bundle=[prior/bundle,dcgan/bundle]", "samples=4", "output=figures")

    for name in ("prior", "dcgan"):
        generator = Generator.load(tmp_path / name / "bundle")
        assert generator.bundle.image_size == size
        assert generator.sample(2, seed=0).shape == (2, size, size, 3)
    assert list(json.loads((tmp_path / "figures/metrics.json").read_text())) == ["prior", "dcgan", "real"]


@pytest.mark.slow
def test_a_step_with_networks_as_configured_at_256(tmp_path: Path) -> None:
    packed(tmp_path, 256)

    for model in ("vae", "dcgan"):
        train(tmp_path, model, f"model={model}")

        assert Generator.load(tmp_path / model / "bundle").sample(1, seed=0).shape == (1, 256, 256, 3)
