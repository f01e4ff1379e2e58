"""Makes a resumed run draw the random numbers that the uninterrupted run would have drawn."""

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor


class StepSeeds(pl.Callback):
    """Seeds torch before every batch from the run's seed, the batch's number and the process's rank.

    So the noise of a step depends on nothing else, and every validation epoch sees the same noise.

    Args:
        seed: The run's seed.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Tensor, batch_idx: int
    ) -> None:
        self._set(0, trainer.fit_loop.epoch_loop.batch_progress.total.ready, trainer.global_rank)

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Tensor, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._set(1, batch_idx, trainer.global_rank)

    def _set(self, *place: int) -> None:
        torch.manual_seed(int(np.random.SeedSequence((self.seed, *place)).generate_state(1)[0]))
