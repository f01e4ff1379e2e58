"""Measures the speed of training."""

import time
from typing import Any

import pytorch_lightning as pl
from torch import Tensor


class Throughput(pl.Callback):
    """Logs `train/images_per_second` over all processes, as often as the trainer logs. Time of validation is
    excluded."""

    def __init__(self) -> None:
        self._images = 0
        self._seconds = 0.0
        self._last: float | None = None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._last = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._last = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: Any, batch_idx: int
    ) -> None:
        now = time.perf_counter()
        images = batch if isinstance(batch, Tensor) else batch[0]
        self._images += len(images) * trainer.world_size
        self._seconds += now - (self._last or now)
        self._last = now
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        batches = trainer.fit_loop.epoch_loop.batch_progress.total.ready
        if every and batches % every == 0 and self._seconds:
            pl_module.log("train/images_per_second", self._images / self._seconds)
            self._images, self._seconds = 0, 0.0
