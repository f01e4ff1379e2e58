"""Stops a run whose loss is NaN or infinite."""

import pytorch_lightning as pl
import torch
from torch import Tensor

from face_generation.errors import UserError


class StopOnNaN(pl.Callback):
    """Stops training before a step with a loss that is not finite, so that no weight and no checkpoint gets a NaN.

    Raises:
        UserError: The loss is NaN or infinite.
    """

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        if not torch.isfinite(loss):
            raise UserError(
                f"the loss is {loss.item()} at step {trainer.global_step}; the checkpoints in "
                f"{trainer.default_root_dir}/checkpoints are from before it and good: train again with a smaller "
                "learning rate, or trainer.precision=32-true"
            )
