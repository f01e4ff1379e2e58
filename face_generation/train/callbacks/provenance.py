"""Writes into checkpoints where they come from."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl


class RecordProvenance(pl.Callback):
    """Adds `provenance` and the latest validation metrics to every checkpoint, so that export needs no other file.

    Args:
        provenance: `data`, `licence`, `config`, `version` and `git_commit`; plain Python types.
    """

    def __init__(self, provenance: Mapping[str, Any]) -> None:
        self.provenance = dict(provenance)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        metrics = {name: value.item() for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        checkpoint["provenance"] = {**self.provenance, "metrics": metrics}
