"""What training, pictures and export ask of every model."""

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from face_generation.errors import UserError


class FaceModel(pl.LightningModule):
    """A generator of faces in up to three parts: normal vectors → latents → images, and images → latents.

    A model has the parts that it trains: a VAE all three, a DCGAN `decode` alone, whose latents are normal vectors, a
    prior `to_latents` alone. Export asks for them by these names.
    """

    latent_shape: tuple[int, ...]  # channels, height and width; their number alone where latents have no places
    attributes: Sequence[str] = ()  # names of those that `to_latents` can be told, in order
    losses: Sequence[str] = ()  # networks and statistics that it learns to please, by the names that metrics have

    def preview(self, normal: Tensor, batch: Any) -> dict[str, Tensor]:
        """Normal vectors N×latent_dim and a validation batch → what to look at while it trains: images N×3×H×W in
        [-1, 1] by name."""
        raise NotImplementedError

    def calibrate(self) -> None:
        """Measures what can't be averaged with the weights, such as statistics of feature maps, for the weights as they
        are. Called when a checkpoint is loaded."""

    def resample(self, **sampling: float) -> None:
        """Changes how faces are drawn, without training.

        Raises:
            UserError: The model does not draw in steps.
        """
        raise UserError(f"a {type(self).__name__} does not draw in steps; leave {' and '.join(sampling)} away")

    def compile_networks(self) -> None:
        """Hands the networks that training spends its time in to torch.compile."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["model"] = type(self).__name__

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raises `UserError` where the checkpoint's tensors are not the model's."""
        ours = {name: tensor.shape for name, tensor in self.state_dict().items()}
        theirs = {name: tensor.shape for name, tensor in checkpoint["state_dict"].items()}
        differing = sorted(name for name in ours | theirs if ours.get(name) != theirs.get(name))
        if differing:
            raise UserError(
                f"the checkpoint holds a {checkpoint['model']} of another architecture ({differing[0]} differs); "
                "set model.… as it was trained, which config.yaml in its run's folder has"
            )
