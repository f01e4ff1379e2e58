"""Checkpoints: reading them without running code from them, and writing finished models."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from face_generation import models
from face_generation.errors import UserError
from face_generation.models.base import FaceModel

KEYS = {"model", "hyper_parameters", "state_dict", "provenance"}


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
    if (
        not isinstance(checkpoint, dict)
        or not {"state_dict", "hyper_parameters", "model", "provenance"} <= checkpoint.keys()
    ):
        raise UserError(f"{path} is not a checkpoint of this package; give one that face_generation.train wrote")
    return checkpoint


def load(path: Path) -> tuple[FaceModel, dict[str, Any]]:
    """The model in a checkpoint, on the CPU, and its provenance (data, licence, configuration, commit, metrics).

    A checkpoint from the middle of training gives the averaged weights.

    Raises:
        UserError: There is no such file, or it is not a checkpoint of ours, or one of another version.
    """
    content = read(path)
    if content["model"] not in models.__all__:
        raise UserError(f"{path} holds a {content['model']}, which this version does not know; update the package")
    try:
        model = getattr(models, content["model"])(**content["hyper_parameters"])
    except TypeError as error:  # a hyperparameter that is no more
        raise UserError(f"{path} is of another version of this package; use that one, or train again") from error
    model.on_load_checkpoint(content)
    model.load_state_dict(content["state_dict"])
    model.calibrate()
    return model, content["provenance"]


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
    """Gives `model` the weights in a checkpoint of the same or another kind of model, as `model.begin` takes them.
    What it does not have, such as a discriminator, stays as it is, and so does what is fitted when training ends.

    Raises:
        UserError: There is no such file, it is not a checkpoint of ours, or its weights do not fit.
    """
    content = read(path)
    known = model.begin(content["state_dict"])
    if not known:
        raise UserError(f"{path} holds a {content['model']}, of which a {type(model).__name__} can use nothing")
    content["state_dict"] = model.state_dict() | known
    model.on_load_checkpoint(content)
    model.load_state_dict(content["state_dict"])


def save(path: Path, model: FaceModel, provenance: Mapping[str, Any]) -> None:
    """Writes a finished model, without the state of its training, and where it comes from."""
    content = {
        "model": type(model).__name__,
        "hyper_parameters": dict(model.hparams),
        "state_dict": model.state_dict(),
        "provenance": dict(provenance),
        "pytorch-lightning_version": pl.__version__,
    }
    partial = path.with_suffix(".part")
    torch.save(content, partial)
    partial.replace(path)
