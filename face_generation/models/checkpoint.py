"""Checkpoints: reading them without running code from them, and writing finished models."""

import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from face_generation.errors import UserError
from face_generation.models.base import FaceModel

KEYS = {"model", "state_dict", "provenance"}
OURS = ("face_generation.", "torch.optim.")  # what a checkpoint's configuration may name: nothing else is called


def read(path: Path) -> dict[str, Any]:
    """A checkpoint's content, on the CPU. Only tensors and plain Python types are read: no code in it can run.

    Raises:
        UserError: There is no such file, or it is not a checkpoint of ours.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"no checkpoint at {path}; train first, or give the path of one") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise UserError(f"{path} is not a whole checkpoint of this package; give another one") from error
    if not isinstance(checkpoint, dict) or not checkpoint.keys() >= KEYS:
        raise UserError(f"{path} is not a checkpoint of this package; give one that face_generation.train wrote")
    return checkpoint


def load(path: Path) -> tuple[FaceModel, dict[str, Any]]:
    """The model in a checkpoint, on the CPU, and its provenance (data, licence, configuration, commit, metrics).

    A checkpoint from the middle of training gives the averaged weights.

    Raises:
        UserError: There is no such file, or it is not a checkpoint of ours, or one of another version.
    """
    content = read(path)
    try:
        model = build(content["provenance"])
    except (InstantiationException, KeyError) as error:  # of a class or an argument that is no more
        raise UserError(f"{path} is of another version of this package; use that one, or train again") from error
    model.on_load_checkpoint(content)
    model.load_state_dict(content["state_dict"])
    model.calibrate()
    return model, content["provenance"]


def build(provenance: Mapping[str, Any]) -> FaceModel:
    """A new model, as `provenance` says: its configuration, and what it takes from the data.

    Raises:
        UserError: The configuration names something that is neither of this package nor an optimizer of torch.
    """
    for target in _targets(provenance["config"]["model"]):
        if not target.startswith(OURS):
            raise UserError(f"the checkpoint's model is made with {target}, which this package does not call by itself")
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
    """The newest file of this name anywhere in `folder`; None where there is none."""
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
    """Writes a finished model, without the state of its training, and where it comes from."""
    content = {
        "model": type(model).__name__,
        "state_dict": model.state_dict(),
        "provenance": dict(provenance),
        "pytorch-lightning_version": pl.__version__,
    }
    partial = path.with_suffix(".part")
    torch.save(content, partial)
    partial.replace(path)
