import io
import sys

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from face_generation.train.callbacks import Progress, Throughput
from face_generation.train.callbacks.progress import clock, fitting

FIGURES = {"loss": "train/loss", "val": "val/loss", "psnr": "val/psnr", "swd": "val/swd"}


class Small(pl.LightningModule):
    """A model that logs what a VAE does."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        loss = self.layer(batch).square().mean()
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log_dict({"val/loss": 12345.678, "val/psnr": 21.5})

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(epochs: int = 3) -> None:
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Throughput(), Progress(FIGURES)],
    )
    loader = DataLoader(torch.ones(8, 1), batch_size=2)
    trainer.fit(Small(), loader, loader)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_file_gets_few_lines_and_the_last_has_all(capsys: pytest.CaptureFixture[str]) -> None:
    fit()

    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("epoch 1/3 25%")
    assert last.startswith("epoch 3/3 done  loss ")
    assert "  val 1.235e+04  psnr 21.5  " in last
    assert last.endswith(" images/s")
    assert "swd" not in last


def test_a_terminal_has_one_line_no_wider_than_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    fit()

    *shown, rest = terminal.getvalue().split("\n")
    assert len(shown) == 1
    assert rest == ""
    assert all(len(line) < 80 for line in shown[0].split("\r"))


def test_what_does_not_fit_is_left_out() -> None:
    assert fitting(["epoch 1/3", "loss 0.5", "psnr 21.5"], columns=20) == "epoch 1/3  loss 0.5"


def test_time_left_in_hours_minutes_and_seconds() -> None:
    assert [clock(seconds) for seconds in (5, 65, 3605, 360_000)] == ["0:05", "1:05", "1:00:05", "100:00:00"]
