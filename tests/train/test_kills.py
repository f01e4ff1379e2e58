"""Twenty kills at random moments: after each the way goes on, to the same result."""

import filecmp
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest
import torch

from face_generation.data.synthetic import write_synthetic_faces
from face_generation.generator import Bundle
from face_generation.models import checkpoint

pytestmark = pytest.mark.slow
PACK = [sys.executable, str(Path(__file__).parents[2] / "scripts/train_val_split.py"), "faces"]
TRAIN = [sys.executable, "-m", "face_generation.train", "experiment=demo", "data=packed", "data.batch_size=16"]
TRAIN += ["trainer.max_epochs=2", "trainer.precision=32-true", "trainer.accelerator=cpu", "logger=none"]
TRAIN += ["model.encoder.channels=[8,8,8,8]", "model.decoder.channels=[8,8,8,8,8]"]
TRAIN += ["model.discriminator.channels=[8,8]", "model.adversarial_epoch=1"]  # the discriminator joins in the middle
TRAIN += ["callbacks.last.every_n_batches=1"]
EXPORT = [sys.executable, "-m", "face_generation.export", "ckpt=whole/checkpoints/final.ckpt"]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with synthetic faces, which are packed in `splits`, and a run in `whole` that nothing interrupted."""
    folder = tmp_path_factory.mktemp("kills")
    write_synthetic_faces(folder / "faces", 120, seed=0)
    for command in ([*PACK, "splits"], [*TRAIN, "hydra.run.dir=whole"]):
        run(command, folder)
    return folder


def run(command: list[str], folder: Path) -> float:
    """Runs a command to its end. Returns the seconds that it took."""
    start = time.monotonic()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return time.monotonic() - start


def kill(command: list[str], folder: Path, seconds: float) -> None:
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def moments(count: int, longest: float) -> list[float]:
    """When to kill, in seconds: anywhere in the run, but for its start, which imports."""
    random = Random(count)
    return [longest * random.uniform(0.3, 1) for _ in range(count)]


def leftovers(folder: Path) -> list[Path]:
    return [path for pattern in ("**/.*.unfinished", "**/*.partial", "**/.lock") for path in folder.glob(pattern)]


def test_killed_trainings_end_with_the_same_weights(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "splits").symlink_to(workspace / "splits")
    longest = run([*TRAIN, "hydra.run.dir=timed"], tmp_path)

    def going_on() -> list[str]:
        begun = list(tmp_path.glob("killed/*/checkpoints/last.ckpt"))
        return [*TRAIN, "runs_dir=killed", *(["ckpt_path=last"] if begun else [])]

    for seconds in moments(7, longest):
        kill(going_on(), tmp_path, seconds)
    run(going_on(), tmp_path)

    final = checkpoint.newest(tmp_path / "killed", "final.ckpt")
    assert final
    expected = checkpoint.read(workspace / "whole/checkpoints/final.ckpt")["state_dict"]
    assert all(torch.equal(value, expected[name]) for name, value in checkpoint.read(final)["state_dict"].items())
    assert Bundle.load(final.parents[1] / "bundle").name == "demo"
    assert leftovers(final.parents[1]) == []


def test_killed_packings_end_with_the_same_splits(workspace: Path) -> None:
    longest = run([*PACK, "timed"], workspace)
    for seconds in moments(7, longest):
        kill([*PACK, "packed"], workspace, seconds)
    run([*PACK, "packed"], workspace)

    names = [path.name for path in (workspace / "splits").iterdir()]
    assert filecmp.cmpfiles(workspace / "splits", workspace / "packed", names, shallow=False) == (names, [], [])
    assert leftovers(workspace) == []


def test_killed_exports_leave_a_whole_bundle(workspace: Path, tmp_path: Path) -> None:
    export = [*EXPORT, f"out={tmp_path}/bundle"]
    longest = run([*export, "name=older"], workspace)
    for seconds in moments(6, longest):
        kill([*export, "name=newer"], workspace, seconds)
        assert Bundle.load(tmp_path / "bundle").name in {"older", "newer"}
    run([*export, "name=newest"], workspace)

    assert Bundle.load(tmp_path / "bundle").name == "newest"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
