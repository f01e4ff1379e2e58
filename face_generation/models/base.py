"""The interface that training, pictures and export use of every model."""

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from face_generation.errors import UserError


def to_bytes(images: Tensor) -> Tensor:
    """Turns images N×3×H×W in [-1, 1] into uint8 N×H×W×3. Values outside of that range are clipped."""
    return images.clamp(-1, 1).add(1).mul(127.5).round().permute(0, 2, 3, 1).to(torch.uint8)


class FaceModel(pl.LightningModule):
    """A generator of faces in up to three parts: normal vectors → latents → images, and images → latents.

    A model has only the parts that it trains: a VAE has `to_latents`, `decode` and `encode`; a DCGAN has `decode`,
    because its latents are normal vectors; a prior has `to_latents`. Export looks for these names.
    """

    latent_shape: tuple[int, ...]  # channels, height and width; only the length if latents are plain vectors
    attributes: Sequence[str] = ()  # names of the attributes that `to_latents` can be told, in order
    losses: Sequence[str] = ()  # networks and statistics that the loss uses; metrics use the same names

    def preview(self, normal: Tensor, batch: Any) -> dict[str, Tensor]:
        """Draws pictures to look at during training.

        Args:
            normal: Normal vectors N×latent_dim.
            batch: A validation batch.

        Returns:
            Images N×3×H×W in [-1, 1], by name.
        """
        raise NotImplementedError

    def calibrate(self) -> None:
        """Measures what cannot be averaged like weights, such as statistics of feature maps, with the current weights.
        It is called when a checkpoint is loaded."""

    def resample(self, **sampling: Any) -> None:
        """Changes how faces are drawn, such as the number of steps, without training.

        Raises:
            UserError: The model is no prior, so it draws in one way.
        """
        raise UserError(f"a {type(self).__name__} draws in one way; leave out {' and '.join(sampling)}")

    def compile_networks(self) -> None:
        """Compiles the networks that take most of the training time, with torch.compile."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["model"] = type(self).__name__

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raises `UserError` if the checkpoint's tensors do not fit the model."""
        ours = {name: tensor.shape for name, tensor in self.state_dict().items()}
        theirs = {name: tensor.shape for name, tensor in checkpoint["state_dict"].items()}
        differing = sorted(name for name in ours | theirs if ours.get(name) != theirs.get(name))
        if differing:
            raise UserError(
                f"the checkpoint holds a {checkpoint['model']} of another architecture ({differing[0]} differs); "
                "set the options model.… as they are in config.yaml in the folder of its run"
            )
