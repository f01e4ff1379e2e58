"""Logs grids of faces after every epoch."""

import math
from typing import Any

import pytorch_lightning as pl
import torch
from torchvision.utils import make_grid

from face_generation.models.base import FaceModel
from face_generation.train.loggers import log_picture


class Pictures(pl.Callback):
    """Logs the grids of a model's `preview` after every epoch.

    Latents and images are the same every epoch, so that one face can be followed through training. This callback must
    stand before the weight averaging in the list of callbacks, so that its hook runs while the averaged weights are in
    place.

    Args:
        columns: Faces in a row. A grid has as many rows.
        seed: Seed of the latents.
    """

    def __init__(self, columns: int = 6, seed: int = 0) -> None:
        self.columns = columns
        self.seed = seed
        self._batch: Any = None

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if batch_idx == 0:
            self._batch = batch

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        batch, self._batch = self._batch, None
        if trainer.sanity_checking or not trainer.loggers or not trainer.is_global_zero:
            return
        assert isinstance(pl_module, FaceModel)
        generator = torch.Generator().manual_seed(self.seed)
        normal = torch.randn(self.columns**2, math.prod(pl_module.latent_shape), generator=generator)
        for name, faces in pl_module.preview(normal.to(pl_module.device), batch).items():
            grid = make_grid(faces.float(), self.columns, padding=2, normalize=True, value_range=(-1, 1))
            array = grid.mul(255).round().byte().permute(1, 2, 0).cpu().numpy()
            for logger in trainer.loggers:
                log_picture(logger, name, array, trainer.current_epoch)
