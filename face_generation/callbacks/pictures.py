"""Grids of faces after every epoch: what the losses cannot show."""

import pytorch_lightning as pl
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torchvision.utils import make_grid

from face_generation.models.base import FaceModel
from face_generation.tracking import Tracker

GATHERED = 512  # validation images that a preview may look at


class Pictures(pl.Callback):
    """Logs a grid of samples, and what else the model previews, after every epoch.

    The latents and the images are the same every epoch, so the eye can follow one face through training. Stands before
    the weight averaging in the list of callbacks: its hook then runs while the averaged weights are in place.

    Args:
        columns: Faces in a row; a grid has as many rows.
        seed: Of the latents.
    """

    def __init__(self, columns: int = 6, seed: int = 0) -> None:
        self.columns = columns
        self.seed = seed
        self._images: list[Tensor] = []

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: Tensor,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if sum(map(len, self._images)) < GATHERED:
            self._images.append(batch)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        images, self._images = torch.cat(self._images)[:GATHERED], []
        if trainer.sanity_checking or not isinstance(trainer.logger, Tracker) or not trainer.is_global_zero:
            return
        assert isinstance(pl_module, FaceModel)
        generator = torch.Generator().manual_seed(self.seed)
        normal = torch.randn(self.columns**2, pl_module.latent_dim, generator=generator)
        for name, faces in pl_module.preview(normal.to(pl_module.device), images).items():
            grid = make_grid(faces.float(), self.columns, padding=2, normalize=True, value_range=(-1, 1))
            array = grid.mul(255).round().byte().permute(1, 2, 0).cpu().numpy()
            trainer.logger.log_picture(name, array, trainer.current_epoch)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        kl = getattr(pl_module, "kl_per_dimension", None)
        if kl is not None and not trainer.sanity_checking and isinstance(trainer.logger, Tracker):
            trainer.logger.log_picture("kl_per_dimension", _kl_chart(kl), trainer.current_epoch)


def _kl_chart(kl: Tensor) -> Figure:
    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.subplots()
    axes.bar(range(len(kl)), kl.sort(descending=True).values.cpu(), width=1.0)
    axes.set(xlabel="latent dimension, sorted", ylabel="KL, nats", title="Information per latent dimension")
    return figure
