"""Lets one process at a time make a folder. The others wait and find it finished."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Holds the lock `<folder>.lock` while a process makes `folder`. Prints a line if it must wait for another
    process."""
    path = folder.with_name(f"{folder.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        print(f"waiting for another run, which makes {folder} at this moment", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # a process that waits notices this and makes a new lock
        lock.release()
