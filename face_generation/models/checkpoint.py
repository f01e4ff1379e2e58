"""Reads checkpoints without running code from them, and writes finished models."""

import zipfile
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from pytorch_lightning.plugins.io import TorchCheckpointIO

from face_generation.errors import UserError
from face_generation.files import writing
from face_generation.models.base import FaceModel

KEYS = {"model", "state_dict", "provenance"}
WEIGHTS = ("state_dict", "current_model_state")  # the second has the weights before averaging, in unfinished trainings
OURS = ("face_generation.", "torch.optim.")  # the only things that a checkpoint's configuration may name
GO_ON = "and go on from the last whole checkpoint: ckpt_path=last"


def read(path: Path) -> dict[str, Any]:
    """Reads a checkpoint onto the CPU. Only tensors and plain Python types are read, so no code in it can run.

    Raises:
        UserError: There is no such file, it is damaged or cut short, it is not a checkpoint of ours, or its weights
            have NaN in them.
    """
    try:
        _check(path)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"no checkpoint at {path}; train first, or give the path of one") from error
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}); give a checkpoint that can be read") from error
    except Exception as error:  # damage in the tables of the archive raises errors of many classes
        raise UserError(
            f"{path} is damaged, cut short, or not a checkpoint; give another one, such as a final.ckpt"
        ) from error
    if not isinstance(checkpoint, dict) or not checkpoint.keys() >= KEYS:
        raise UserError(f"{path} is not a checkpoint of this package; give one that face_generation.train wrote")
    for weights in WEIGHTS:
        for name, tensor in checkpoint.get(weights, {}).items():
            if not torch.isfinite(tensor).all():
                raise UserError(
                    f"{path} has weights that are not numbers ({name}), because its training went wrong; give an older "
                    "checkpoint, or train again with a smaller learning rate"
                )
    return checkpoint


def _check(path: Path) -> None:
    """Compares the parts of a checkpoint, which is a zip, with their checksums, which torch does not check."""
    with zipfile.ZipFile(path) as archive:
        if damaged := archive.testzip():
            raise zipfile.BadZipFile(damaged)


def load(path: Path) -> tuple[FaceModel, dict[str, Any]]:
    """Loads the model in a checkpoint, on the CPU, and its provenance (data, licence, configuration, commit, metrics).

    From a checkpoint of an unfinished training it takes the averaged weights.

    Raises:
        UserError: There is no such file, it is not a checkpoint of ours, or it is of another version.
    """
    content = read(path)
    try:
        model = build(content["provenance"])
    except (InstantiationException, KeyError) as error:  # it names a class or an argument that no longer exists
        raise UserError(f"{path} is of another version of this package; use that one, or train again") from error
    model.on_load_checkpoint(content)
    model.load_state_dict(content["state_dict"])
    model.calibrate()
    return model, content["provenance"]


def build(provenance: Mapping[str, Any]) -> FaceModel:
    """Builds a new model from the configuration in `provenance` and from what it says about the data.

    Raises:
        UserError: The configuration names something that is neither in this package nor an optimizer of torch.
    """
    for target in _targets(provenance["config"]["model"]):
        if not target.startswith(OURS):
            raise UserError(
                f"the checkpoint's model is made with {target}, which is neither of this package nor an optimizer of "
                "torch; use the bundle that its training wrote"
            )
    return instantiate(provenance["config"]["model"], **provenance["shapes"], _convert_="all")


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield node["_target_"]
        for value in node.values():
            yield from _targets(value)


def finished(where: Path) -> Path:
    """The checkpoint `where`, or the newest `final.ckpt` anywhere in the folder `where`.

    Raises:
        UserError: There is none.
    """
    if where.suffix == ".ckpt":
        return where
    found = newest(where, "final.ckpt")
    if not found:
        raise UserError(f"no finished training in {where}; train what this one begins with, or give its final.ckpt")
    return found


def newest(folder: Path, name: str) -> Path | None:
    """The newest file of this name anywhere in `folder`; `None` if there is none."""
    return max(folder.glob(f"**/{name}"), key=lambda path: path.stat().st_mtime, default=None)


def begin_with(path: Path, model: FaceModel) -> None:
    """Gives `model` the weights in a checkpoint of the same architecture.

    Raises:
        UserError: There is no such file, it is not a checkpoint of ours, or its weights do not fit.
    """
    content = read(path)
    model.on_load_checkpoint(content)
    model.load_state_dict(content["state_dict"])


def save(path: Path, model: FaceModel, provenance: Mapping[str, Any]) -> None:
    """Writes a finished model with its provenance, but without the state of its training."""
    content = {
        "model": type(model).__name__,
        "state_dict": model.state_dict(),
        "provenance": dict(provenance),
        "pytorch-lightning_version": pl.__version__,
    }
    write(path, content)


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a checkpoint, with a checksum of each of its parts.

    Raises:
        UserError: It cannot be written. An older one at `path` stays.
    """
    buffer = BytesIO()  # torch does not report a full disk when it writes to a file
    torch.save(dict(content), buffer)
    with writing(path, durable=True, remedy=GO_ON) as file:
        file.write(buffer.getbuffer())


class CheckpointFiles(TorchCheckpointIO):
    """Has Lightning write checkpoints with `write`, so that a run that is killed keeps the previous one."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: object = None) -> None:
        write(Path(path), checkpoint)
