"""Reports a generator that draws the same face whatever it is given."""

import logging

import pytorch_lightning as pl
from torch import Tensor

log = logging.getLogger(__name__)


class ReportCollapse(pl.Callback):
    """Warns once when the samples differ from each other much less than real faces do, for many steps on end.

    Logs `train/collapsed`, 1 while it lasts, as often as the trainer logs. The run goes on: some recover.

    Args:
        threshold: Of `train/diversity`, which is the samples' diversity over that of the real faces in the same batch.
        patience: Batches on end under the threshold before it counts.
    """

    def __init__(self, threshold: float = 0.3, patience: int = 200) -> None:
        self.threshold = threshold
        self.patience = patience
        self.low = 0  # batches on end so far

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
