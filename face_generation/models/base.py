"""What training, pictures and export ask of every model."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from face_generation.data.datamodule import PackedDataModule
from face_generation.errors import UserError


class FaceModel(pl.LightningModule):
    """A generator of faces: a function of standard normal vectors.

    Its hyperparameters include `image_size` (pixels). A model that also has `embed` (images → the normal vectors that
    draw them) is exported with an encoder.
    """

    latent_dim: int  # of the standard normal vectors
    fitted_last: tuple[str, ...] = ()  # beginnings of the names of weights that `finish` fits, from nothing

    @property
    def kind(self) -> str:
        """What it is once trained, as its card and the page call it."""
        return type(self).__name__

    def sample(self, normal: Tensor) -> Tensor:
        """Standard normal vectors N×latent_dim → images N×3×H×W in [-1, 1]."""
        raise NotImplementedError

    def begin(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights of a trained model, by name → those that this one begins with, by its own names: the ones that
        both have, but for what `finish` fits."""
        wanted = {name for name in self.state_dict() if not name.startswith(self.fitted_last)}
        return {name: tensor for name, tensor in weights.items() if name in wanted}

    def preview(self, normal: Tensor, images: Tensor) -> dict[str, Tensor]:
        """Normal vectors and validation images → what to look at while it trains: images N×3×H×W by name."""
        return {"samples": self.sample(normal)}

    def calibrate(self) -> None:
        """Measures what can't be averaged with the weights, such as statistics of feature maps, for the weights as they
        are. Called when a checkpoint is loaded."""

    def compile_networks(self) -> None:
        """Hands the networks that training spends its time in to torch.compile."""

    def finish(self, datamodule: PackedDataModule) -> dict[str, float]:
        """Does what is left to do once the networks are trained, and returns figures about it."""
        return {}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["model"] = type(self).__name__

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raises `UserError` where the checkpoint's tensors are not the model's, with the options that would fit."""
        ours = {name: tensor.shape for name, tensor in self.state_dict().items()}
        theirs = {name: tensor.shape for name, tensor in checkpoint["state_dict"].items()}
        if ours != theirs:
            settings = checkpoint["hyper_parameters"]
            other = [f"model.{key}={value}" for key, value in settings.items() if self.hparams.get(key) != value]
            raise UserError(
                f"the checkpoint holds a {checkpoint['model']} of another architecture; "
                f"to go on with it set {' '.join(other) or 'the model that it was trained with'}"
            )
