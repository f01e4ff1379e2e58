"""Resumes a training whose options have changed."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import WeightAveraging

from face_generation.errors import UserError

SHAPING = ("data", "model", "trainer", "callbacks", "seed")  # the options that shape weights
PLACES = "dirpath"  # an option that says where to write, which shapes no weights
KINDS = ("optimizer._target_", "scheduler._target_")  # options that a checkpoint has the state of
EPOCHS = ("trainer.limit_train_batches", "trainer.overfit_batches")  # options that say how long an epoch is
WEIGHTS = "current_model_state"  # of a checkpoint: those that the optimizer moves, where `state_dict` is their average


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Compares two configurations. Returns the value before and the value now of each changed option, by a path such as
    `model.optimizer.lr`. Options that only one of them has do not count, because versions of this package differ.

    Raises:
        UserError: A changed option cannot be applied.
    """
    changed: dict[str, tuple[Any, Any]] = {}
    for name in SHAPING:
        if name in before and name in now:
            changed |= _differences(before[name], now[name], name)
    for name, (was, becomes) in changed.items():
        if name.endswith(KINDS):
            raise UserError(
                f"{name} cannot become {becomes} when a training goes on, because the checkpoint has the state of "
                f"a {was}; begin a new one with its weights: start=… in place of ckpt_path"
            )
        if name in EPOCHS:
            raise UserError(
                f"{name} cannot become {becomes} when a training goes on, because the checkpoint counts the batches of "
                f"an epoch; leave it at {was}, or begin a new training with its weights: start=… in place of ckpt_path"
            )
    return changed


def _differences(before: Any, now: Any, path: str) -> dict[str, tuple[Any, Any]]:
    if not (isinstance(before, Mapping) and isinstance(now, Mapping)):
        return {path: (before, now)} if before != now else {}
    found: dict[str, tuple[Any, Any]] = {}
    for name in before:
        if name in now and name != PLACES:
            found |= _differences(before[name], now[name], f"{path}.{name}")
    return found


def check_same_batches(checkpoint: Mapping[str, Any], batches: int) -> None:
    """Compares the number of batches an epoch with that of the training that a checkpoint is of.

    Raises:
        UserError: It has changed, and schedules and resumed runs depend on it.
    """
    loaders = checkpoint["loops"]["fit_loop"]["state_dict"].get("combined_loader") or [{}]
    before = loaders[0].get("batches")
    if before not in (None, batches):
        raise UserError(
            f"the checkpoint is of a training with {before} batches an epoch, and now there are {batches}; set "
            "data.batch_size, the data and the number of devices as they were, or begin a new training with its "
            "weights: start=… in place of ckpt_path"
        )


class ApplyOptions(pl.Callback):
    """Gives optimizers and their schedules the current options, because Lightning restores those of the checkpoint."""

    def __init__(self) -> None:
        self._fresh: list[list[dict[str, Any]]] = []

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        averaged = any(isinstance(callback, WeightAveraging) for callback in trainer.callbacks)  # type: ignore[attr-defined]
        if WEIGHTS in checkpoint and not averaged:  # the average was switched off, so the weights go on without it
            pl_module.load_state_dict(checkpoint[WEIGHTS])

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remembers the options before the optimizers' state is loaded from the checkpoint."""
        self._fresh = [
            [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
            for optimizer in trainer.optimizers
        ]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for optimizer, fresh in zip(trainer.optimizers, self._fresh, strict=True):
            for group, options in zip(optimizer.param_groups, fresh, strict=True):
                before, now = _peak(group), _peak(options)
                rate = group["lr"] if before in (now, 0) else group["lr"] / before * now  # schedules multiply the peak
                group.update(options, lr=rate)
        for config in trainer.lr_scheduler_configs:
            config.scheduler.base_lrs = [_peak(group) for group in config.scheduler.optimizer.param_groups]


def _peak(group: Mapping[str, Any]) -> float:
    return group.get("initial_lr", group["lr"])
