"""Where a checkpoint comes from, written into it."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl


class RecordProvenance(pl.Callback):
    """Adds `provenance` to every checkpoint, with the latest validation metrics, so that it can be exported by itself.

    Args:
        provenance: `data`, `licence`, `config` and `git_commit`; plain Python types.
    """

    def __init__(self, provenance: Mapping[str, Any]) -> None:
        self.provenance = dict(provenance)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        metrics = {name: value.item() for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        checkpoint["provenance"] = {**self.provenance, "metrics": metrics}
