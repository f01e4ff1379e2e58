"""Reports a generator that draws the same face for every latent."""

import logging

import pytorch_lightning as pl
from torch import Tensor

log = logging.getLogger(__name__)


class ReportCollapse(pl.Callback):
    """Warns once when samples differ from each other much less than real faces do, for many batches in a row.

    It also logs `train/collapsed`, which is 1 during a collapse, as often as the trainer logs. The run goes on, because
    some generators recover.

    Args:
        threshold: A collapse has `train/diversity` below this: the samples' diversity divided by that of the real faces
            in the same batch.
        patience: Number of batches in a row below the threshold that make a collapse.
    """

    def __init__(self, threshold: float = 0.3, patience: int = 200) -> None:
        self.threshold = threshold
        self.patience = patience
        self.low = 0  # batches in a row below the threshold

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: Tensor, batch_idx: int
    ) -> None:
        diversity = trainer.callback_metrics["train/diversity"]
        self.low = self.low + 1 if diversity < self.threshold else 0
        pl_module.log("train/collapsed", float(self.low >= self.patience))
        if self.low == self.patience:
            log.warning(
                "The generator has collapsed: for %d batches its samples differed less than %g times as much as real "
                "faces do. If it does not recover, train again with a smaller model.discriminator_optimizer.lr, "
                "another seed or, in a DCGAN, model.augment=true.",
                self.patience,
                self.threshold,
            )

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.low >= self.patience:
            log.warning(
                "Training ended with the generator collapsed: what it leaves draws much the same face each time."
            )

    def state_dict(self) -> dict[str, int]:
        return {"low": self.low}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self.low = state_dict["low"]
