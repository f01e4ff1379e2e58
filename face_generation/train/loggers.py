"""Logs settings, pictures, files and models. Only this module knows which logger takes what.

A function does nothing if a logger has no place for what it is given. All are called on the first process only.
"""

from functools import singledispatch
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pytorch_lightning.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from face_generation.errors import UserError
from face_generation.tracking import Tracker


@singledispatch
def begin(logger: Logger, settings: dict[str, Any]) -> None:
    """Begins a run with the settings in plain Python types.

    Raises:
        UserError: The logger cannot be used.
    """
    logger.log_hyperparams(settings)


@begin.register
def _(logger: WandbLogger, settings: dict[str, Any]) -> None:
    try:
        logger.log_hyperparams(settings)
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "wandb":
            raise
        raise UserError(
            f"Weights & Biases cannot be used ({str(error).splitlines()[0]}); log in with: wandb login; or set "
            "logger.wandb.offline=true"
        ) from error


@singledispatch
def log_picture(logger: Logger, name: str, picture: NDArray[np.uint8], step: int) -> None:
    """Logs a picture H×W×3 as one of a series over steps."""


@log_picture.register
def _(logger: Tracker, name: str, picture: NDArray[np.uint8], step: int) -> None:
    logger.log_picture(name, picture, step)


@log_picture.register
def _(logger: MLFlowLogger, name: str, picture: NDArray[np.uint8], step: int) -> None:
    logger.experiment.log_image(logger.run_id, picture, key=name, step=step)


@log_picture.register
def _(logger: TensorBoardLogger, name: str, picture: NDArray[np.uint8], step: int) -> None:
    logger.experiment.add_image(name, picture, step, dataformats="HWC")


@log_picture.register
def _(logger: WandbLogger, name: str, picture: NDArray[np.uint8], step: int) -> None:
    logger.log_image(name, [picture], step)


@singledispatch
def log_file(logger: Logger, path: Path) -> None:
    """Logs a file."""


@log_file.register
def _(logger: Tracker, path: Path) -> None:
    logger.log_file(path)


@log_file.register
def _(logger: MLFlowLogger, path: Path) -> None:
    logger.experiment.log_artifact(logger.run_id, str(path))


@log_file.register
def _(logger: WandbLogger, path: Path) -> None:
    logger.experiment.save(str(path), base_path=str(path.parent), policy="now")


@singledispatch
def log_split(logger: Logger, path: Path, images: int, checksum: str, context: str) -> None:
    """Logs a packed split, with its checksum and its use (`training` or `validation`)."""


@log_split.register
def _(logger: Tracker, path: Path, images: int, checksum: str, context: str) -> None:
    logger.log_split(path, images, checksum, context)


@singledispatch
def register(logger: Logger, bundle: Path, name: str) -> None:
    """Logs a bundle and makes it the next version of the registered model `name`."""


@register.register
def _(logger: Tracker, bundle: Path, name: str) -> None:
    logger.register(bundle, name)


@singledispatch
def end(logger: Logger, status: str) -> None:
    """Ends a run with the status `success`, `failed`, or `KILLED` if somebody stopped it."""
    logger.finalize(status)


@end.register
def _(logger: Tracker, status: str) -> None:
    logger.end(status)


@end.register
def _(logger: WandbLogger, status: str) -> None:
    logger.finalize(status)
    if logger._experiment is not None:  # reading `experiment` would begin a run otherwise
        logger.experiment.finish(exit_code=int(status != "success"))  # so that this process can begin another run
