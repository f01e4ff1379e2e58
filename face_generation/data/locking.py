"""A lock, so that only one process at a time makes a folder. The others wait and then find it finished."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Holds the lock `<folder>.lock` while this process makes `folder`. Prints a line if it has to wait for another."""
    path = folder.with_name(f"{folder.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()  # where this is not allowed, FileLock would wait forever
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        print(f"waiting for another run, which is making {folder}", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # a waiting process notices this and makes a new lock
        lock.release()
