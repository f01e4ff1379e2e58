"""Checkpoints: reading them safely, and what a model must have in common with one."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from face_generation.errors import UserError


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


def check_architecture(model: pl.LightningModule, checkpoint: Mapping[str, Any]) -> None:
    """Raises `UserError` where the checkpoint's tensors are not the model's, with the options that would fit."""
    ours = {name: tensor.shape for name, tensor in model.state_dict().items()}
    theirs = {name: tensor.shape for name, tensor in checkpoint["state_dict"].items()}
    if ours != theirs:
        settings = checkpoint.get("hyper_parameters", {})
        other = [f"model.{key}={value}" for key, value in settings.items() if model.hparams.get(key) != value]
        raise UserError(
            f"the checkpoint holds a {checkpoint.get('model', 'model')} of another architecture; "
            f"set {' '.join(other) or 'another model'} to go on with it"
        )


def load(path: Path) -> tuple[pl.LightningModule, dict[str, Any]]:
    """The model in a checkpoint, on the CPU, and its provenance (data, licence, configuration, commit, metrics).

    A checkpoint from the middle of training gives the averaged weights.

    Raises:
        UserError: There is no such file, or it is not a checkpoint of ours.
    """
    from face_generation import models  # not above: the models check their architecture with this module

    content = read(path)
    if content["model"] not in models.__all__:
        raise UserError(f"{path} holds a {content['model']}, which this version does not know; update the package")
    model = getattr(models, content["model"])(**content["hyper_parameters"])
    check_architecture(model, content)
    model.load_state_dict(content["state_dict"])
    return model, content["provenance"]


def save(path: Path, model: pl.LightningModule, provenance: Mapping[str, Any]) -> None:
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
