"""The folders of runs. Each run has its own and locks it while it runs."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from face_generation.errors import UserError
from face_generation.files import sweep

CONFIG = "config.yaml"  # the configuration of the run in a folder
CHECKPOINTS = "checkpoints"
LOCK = ".lock"
PATIENCE = 10  # seconds that the loaders of a killed run may live on


@contextmanager
def holding(folder: Path, *, again: bool) -> Iterator[Path]:
    """Yields a folder that only this run may use until the block ends.

    Args:
        again: Use `folder` even if it already has a run. Otherwise the first of `folder`, `<folder>-2`, `<folder>-3`
            and so on is used that has none.

    Raises:
        UserError: Another run is training in `folder`, and `again` asks for it.
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
                    f"another run is training in {folder}; wait for its end, or begin one in a folder of its "
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
        if own != folder and not any(own.iterdir()):  # the run did not start
            own.rmdir()


def sweep_all(runs: Path) -> None:
    """Removes unfinished files of killed processes from all run folders in `runs`."""
    for folder in [*runs.glob("*"), *runs.glob(f"*/{CHECKPOINTS}")]:
        sweep(folder)


def _release(lock: FileLock) -> None:
    with suppress(OSError):
        Path(lock.lock_file).unlink()  # a process that waits notices this and makes a new lock
    lock.release()
