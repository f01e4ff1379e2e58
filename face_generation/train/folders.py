"""The folders of runs: each run has one of its own, and holds it as long as it goes."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from face_generation.errors import UserError
from face_generation.files import sweep

CONFIG = "config.yaml"  # what a run in the folder was configured with
CHECKPOINTS = "checkpoints"
LOCK = ".lock"
PATIENCE = 10  # seconds: for so long the loaders of a killed run may live on


@contextmanager
def holding(folder: Path, *, again: bool) -> Iterator[Path]:
    """Gives a folder that is this run's alone until the block ends.

    Args:
        again: Whether it must be `folder` itself, although a run has been in it. If not, and one has, it is
            `<folder>-2`, `<folder>-3` and so on, the first that none has been in.

    Raises:
        UserError: It must be `folder`, where another run trains at this moment.
    """
    for number in count(1):
        own = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        own.mkdir(parents=True, exist_ok=True)
        lock = FileLock(own / LOCK)
        try:
            lock.acquire(timeout=PATIENCE if again else 0)
        except Timeout as error:
            if again:
                raise UserError(
                    f"another run trains in {folder} at this moment; wait for its end, or begin one in a folder of its "
                    "own, without ckpt_path and hydra.run.dir"
                ) from error
            continue
        if again or not (own / CONFIG).exists():
            break
        _release(lock)
    try:
        sweep(own)
        sweep(own / CHECKPOINTS)
        yield own
    finally:
        _release(lock)
        if own != folder and not any(own.iterdir()):  # the run could not start
            own.rmdir()


def _release(lock: FileLock) -> None:
    with suppress(OSError):
        Path(lock.lock_file).unlink()  # who waits notices, and makes a new one
    lock.release()
