"""One process at a time makes a folder; the others wait, and then find it made."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Waits, and says so, until no other process makes `folder`. `<folder>.lock` beside it stands for the right to."""
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
            path.unlink()  # who waits notices, and makes a new one
        lock.release()
