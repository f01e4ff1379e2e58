"""A line that shows progress, figures, speed and the time that training still takes."""

import math
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.trainer.states import TrainerFn

SPEED = "train/images_per_second"  # as `Throughput` logs it


class Progress(pl.Callback):
    """Shows the progress of training and validation on standard output.

    On a terminal the line is rewritten every half second. Elsewhere, as in a log file, a line is added every half
    minute and at the end of training.

    Args:
        figures: Names of logged metrics by their labels on the line, in order. Metrics that a model does not log are
            left out.
    """

    def __init__(self, figures: Mapping[str, str]) -> None:
        self.figures = dict(figures)
        self._shown = -math.inf  # time of the last line, in seconds
        self._began = 0.0
        self._first = 0  # batches that a resumed run had done before

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._began, self._first = time.monotonic(), _done(trainer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: Any, batch_idx: int
    ) -> None:
        self._show(trainer, _share(batch_idx + 1, [trainer.num_training_batches]))

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if not trainer.sanity_checking:
            self._show(trainer, f"validation {_share(batch_idx + 1, trainer.num_val_batches)}")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._show(trainer, "done", last=True)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if _alone(trainer):
            self._show(trainer, "validation done", last=True)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if sys.stdout.isatty() and self._shown > -math.inf:
            print()  # so that the next message has a line of its own

    def _show(self, trainer: pl.Trainer, place: str, last: bool = False) -> None:
        terminal, now = sys.stdout.isatty(), time.monotonic()
        early = now - self._shown < (0.5 if terminal else 30)
        if not trainer.is_global_zero or (early and not last):
            return
        self._shown = now
        columns = shutil.get_terminal_size().columns - 1 if terminal else 80
        line = fitting(self._parts(trainer, place), columns)
        if terminal:
            print(f"\r{line.ljust(columns)}", end="\n" if last else "", flush=True)
        else:
            print(line, flush=True)

    def _parts(self, trainer: pl.Trainer, place: str) -> Iterator[str]:
        """The parts of the line, the most important first."""
        metrics = trainer.callback_metrics
        if _alone(trainer):
            yield place
        else:
            epoch, epochs = trainer.current_epoch + 1, trainer.max_epochs or -1
            yield f"epoch {min(epoch, epochs)}/{epochs} {place}" if epochs > 0 else f"epoch {epoch} {place}"
            if left := self._left(trainer):
                yield left
        yield from (f"{label} {float(metrics[name]):.4g}" for label, name in self.figures.items() if name in metrics)
        if SPEED in metrics and not _alone(trainer):
            yield f"{float(metrics[SPEED]):.0f} images/s"

    def _left(self, trainer: pl.Trainer) -> str | None:
        """The time that training still takes at its pace so far; `None` if its end is unknown or has come."""
        done, total = _done(trainer), (trainer.max_epochs or -1) * trainer.num_training_batches
        if done == self._first or not done < total < math.inf:
            return None
        return f"{clock((time.monotonic() - self._began) / (done - self._first) * (total - done))} left"


def fitting(parts: Iterable[str], columns: int) -> str:
    """Joins parts with two spaces, as many as fit into `columns`."""
    line = ""
    for part in parts:
        longer = f"{line}  {part}" if line else part
        if len(longer) > columns:
            break
        line = longer
    return line


def clock(seconds: float) -> str:
    """Formats seconds as 1:02:03, or as 2:03 if they are less than an hour."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def _alone(trainer: pl.Trainer) -> bool:
    """Whether the trainer validates without training."""
    return trainer.state.fn == TrainerFn.VALIDATING


def _done(trainer: pl.Trainer) -> int:
    """Training batches so far, over all epochs."""
    return trainer.fit_loop.epoch_loop.batch_progress.total.ready


def _share(done: int, batches: Iterable[float]) -> str:
    total = sum(batches)
    return f"{done / total:.0%}" if 0 < total < math.inf else f"batch {done}"
