"""Records a run's configuration on disk and in its loggers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import OmegaConf

from face_generation.files import writing
from face_generation.train.folders import CONFIG
from face_generation.train.loggers import begin, log_file, log_split


class RecordRun(pl.Callback):
    """Writes `config.yaml` into the run's folder and logs it, after Lightning has accepted the options.

    So a command that cannot start leaves no folder and no run.

    Args:
        folder: Folder of the run.
        settings: Composed configuration, in plain Python types.
        changed: Settings that changed when the run was resumed, by names that say since which batch.
        splits: Arguments of `log_split` for each packed split.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        changed: Mapping[str, Any],
        splits: Sequence[tuple[Path, int, str, str]],
    ) -> None:
        self.folder = folder
        self.settings = dict(settings)
        self.changed = dict(changed)
        self.splits = splits

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if trainer.fast_dev_run or not trainer.is_global_zero:  # type: ignore[attr-defined]
            return
        for logger in trainer.loggers:  # first, because one that cannot be used ends the run
            begin(logger, self.settings | self.changed)
        with writing(self.folder / CONFIG) as file:
            file.write(OmegaConf.to_yaml(self.settings).encode())
        for logger in trainer.loggers:
            log_file(logger, self.folder / CONFIG)
            for split in self.splits:
                log_split(logger, *split)
