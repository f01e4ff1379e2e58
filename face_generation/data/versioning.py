"""Calls DVC: pulls splits from the remote `data` and pushes trained weights to the remote `models`."""

import subprocess
import sys
from pathlib import Path

from omegaconf import OmegaConf

from face_generation.errors import UserError


def pull_splits(folder: Path) -> None:
    """Pulls packed splits from the DVC remote.

    Raises:
        UserError: DVC does not know the folder, or the remote does not have it.
    """
    remedy = (
        "make them with: python scripts/download_data.py data && python scripts/train_val_split.py data splits; "
        "or draw stand-in faces with: experiment=demo"
    )
    try:
        _dvc("pull", str(folder))
    except _Failed as error:
        raise UserError(f"no packed splits in {folder}, and dvc pull brought none ({error}); {remedy}") from error


def add_and_push(path: Path) -> None:
    """Adds a file or folder to DVC and pushes it to the remote `models`.

    Raises:
        UserError: DVC refuses, or the remote cannot be reached. The files stay where they are.
    """
    try:
        _dvc("add", str(path))
        description = path.with_name(f"{path.name}.dvc")
        content = OmegaConf.load(description)
        content.outs[0].remote = "models"  # dvc pull will look there; dvc add has no option for it
        OmegaConf.save(content, description)
        _dvc("push", str(description))
    except _Failed as error:
        raise UserError(f"{path} is complete, but DVC did not push it ({error}); push it with: dvc push") from error


class _Failed(Exception):
    """DVC failed. The message is DVC's own."""


def _dvc(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], capture_output=True, text=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [f"exit {done.returncode}"]
        gist, _, _ = errors[0].removeprefix("ERROR: ").partition(" - Checkout failed")  # a list of files comes after it
        raise _Failed(gist)
