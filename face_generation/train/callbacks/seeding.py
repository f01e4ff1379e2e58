"""Makes a resumed run draw the random numbers that the uninterrupted run would have drawn."""

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor


class StepSeeds(pl.Callback):
    """Seeds torch before every batch from the run's seed and the batch's number, in the same way in all processes.

    So the noise of a step depends on nothing else, and every validation epoch sees the same noise.

    Args:
        seed: The run's seed.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Tensor, batch_idx: int
    ) -> None:
        self._set(0, trainer.fit_loop.epoch_loop.batch_progress.total.ready)

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Tensor, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._set(1, batch_idx)

    def _set(self, *place: int) -> None:
        torch.manual_seed(int(np.random.SeedSequence((self.seed, *place)).generate_state(1)[0]))
