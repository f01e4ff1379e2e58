"""A resumed training takes the options of now."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging
from torch import Tensor, nn
from torch.utils.data import DataLoader

from face_generation.errors import UserError
from face_generation.train.callbacks import ApplyOptions
from face_generation.train.callbacks.resuming import changes


class Small(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return (self.layer(batch) - 5).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Save(pl.Callback):
    """Saves the end of each epoch."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.save_checkpoint(self.path)


class Seen(pl.Callback):
    """The first weights of a training."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.weights = {name: value.clone() for name, value in pl_module.state_dict().items()}


def fit(callbacks: list[pl.Callback], epochs: int, resume: Path | None = None) -> None:
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=callbacks,
    )
    trainer.fit(Small(), DataLoader(torch.ones(8, 1), batch_size=2), ckpt_path=resume, weights_only=True)


def test_without_their_average_weights_go_on_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    fit([EMAWeightAveraging(decay=0.99), Save(path)], epochs=1)
    seen = Seen()
    fit([ApplyOptions(), seen], epochs=2, resume=path)

    saved = torch.load(path, weights_only=True)
    assert all(torch.equal(value, saved["current_model_state"][name]) for name, value in seen.weights.items())
    assert not torch.equal(seen.weights["layer.bias"], saved["state_dict"]["layer.bias"])


BEFORE = {
    "name": "a",
    "seed": 0,
    "model": {"optimizer": {"_target_": "Muon", "lr": 1.0}, "gone": 1},
    "callbacks": {"ema": {"decay": 0.9}, "last": {"dirpath": "a"}},
}


def test_changed_options_are_named_by_their_path() -> None:
    now = {
        "name": "b",
        "seed": 0,
        "model": {"optimizer": {"_target_": "Muon", "lr": 2.0}, "new": 1},
        "callbacks": {"ema": None, "last": {"dirpath": "b"}},
    }

    assert changes(BEFORE, now) == {"model.optimizer.lr": (1.0, 2.0), "callbacks.ema": ({"decay": 0.9}, None)}


def test_another_kind_of_optimizer_is_refused() -> None:
    with pytest.raises(UserError, match=r"model.optimizer._target_ cannot become SGD .*; begin a new one"):
        changes(BEFORE, BEFORE | {"model": {"optimizer": {"_target_": "SGD"}}})


def test_another_length_of_epochs_is_refused() -> None:
    before, now = ({"trainer": {"limit_train_batches": share}} for share in (1.0, 0.5))

    with pytest.raises(UserError, match=r"limit_train_batches cannot become 0.5 .*; leave it at 1.0, or begin a new"):
        changes(before, now)
