"""What a run was configured with, on disk and in its loggers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import OmegaConf

from face_generation.loggers import log_file


class RecordRun(pl.Callback):
    """Writes `config.yaml` into the run's folder and logs it, once Lightning has found nothing wrong with the options.

    So a command that could not start leaves no folder and no run.

    Args:
        folder: The run's.
        settings: The composed configuration; plain Python types.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self.settings = dict(settings)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if trainer.fast_dev_run or not trainer.is_global_zero:  # type: ignore[attr-defined]
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.settings, self.folder / "config.yaml")
        for logger in trainer.loggers:
            logger.log_hyperparams(self.settings)
            log_file(logger, self.folder / "config.yaml")
