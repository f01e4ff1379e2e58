"""Keeps the checkpoint that an interrupted run resumes from."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint


class KeepLast(Checkpoint):
    """Writes `last.ckpt` every `every_n_batches` batches, after the last batch of an epoch, and after its validation.

    Lightning's `ModelCheckpoint` counts optimizer steps, and a model may take two a batch. It also writes nothing
    between an epoch's last batch and the end of its validation, which may take long.

    Args:
        dirpath: Folder of checkpoints.
        every_n_batches: Batches between two checkpoints in an epoch.
    """

    def __init__(self, dirpath: str, every_n_batches: int = 1000) -> None:
        self.path = f"{dirpath}/last.ckpt"
        self.every_n_batches = every_n_batches

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: Any, batch_idx: int
    ) -> None:
        progress = trainer.fit_loop.epoch_loop.batch_progress
        if progress.is_last_batch or progress.total.ready % self.every_n_batches == 0:
            self._write(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._write(trainer)

    def _write(self, trainer: pl.Trainer) -> None:
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            trainer.save_checkpoint(self.path)
