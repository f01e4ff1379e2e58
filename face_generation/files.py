"""Files and folders that appear whole: made beside their place, then renamed to it.

What is being made is locked. So `sweep` can tell what a killed process left behind from what another one still writes.
"""

import ctypes
import errno
import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import gettempdir
from typing import BinaryIO

from face_generation.errors import UserError

UNFINISHED = re.compile(r"\.(.+)\.[0-9a-f]{8}\.unfinished")  # the name of what is to become the file or folder $1
NEW, OLD = "new", "old"  # inside an unfinished folder: what is to come, and what was there
YOUNG = 1.0  # seconds in which a file may not be locked yet
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # Linux's fcntl.h and fs.h


@contextmanager
def writing(path: Path, *, durable: bool = False, remedy: str = "or choose another place") -> Iterator[BinaryIO]:
    """Opens a new file that appears at `path`, in place of any older one, only when it is whole.

    Args:
        durable: Whether it must be on the disk by then, and outlive a power cut. It takes milliseconds.
        remedy: What helps where there is no space, besides making some.

    Raises:
        UserError: It cannot be written there.
    """
    temporary = _beside(path)
    try:
        if not path.parent.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            _lock(file.fileno())
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
            temporary.replace(path)  # before the lock goes with the file
        if durable:
            _sync(path.parent)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(f"no space left for {path}; free some, {remedy}") from error
        raise UserError(f"cannot write {path}: {error.strerror}; choose another place") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Gives an empty folder, which takes the place of `folder` when the block ends without an error.

    Whenever the process is killed, the old folder or the new one is at `folder`, and whole. Where the file system
    cannot exchange two folders the old one may be gone from there: `sweep` then brings it back.

    Raises:
        OSError: It cannot be made there.
    """
    temporary = _beside(folder)
    new, old = temporary / NEW, temporary / OLD
    new.mkdir(parents=True)
    with _opened(temporary) as descriptor:
        _lock(descriptor)
        try:
            yield new
            for path in [*new.rglob("*"), new]:
                _sync(path)
            if not _exchange(new, folder):
                if folder.exists():
                    folder.rename(old)
                new.rename(folder)
            _sync(folder.parent)
        finally:
            _remove(temporary, folder)


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """Gives an empty folder in the system's temporary one, and removes it when the block ends. Where the process is
    killed, the next one that asks for a folder removes it."""
    place = Path(gettempdir()) / name
    sweep(place.parent)
    folder = _beside(place)
    folder.mkdir(mode=0o700)
    with _opened(folder) as descriptor:
        _lock(descriptor)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Removes what killed processes left unfinished in `folder`, and brings back a folder that one had moved away."""
    for path in folder.glob(".*.unfinished"):
        match = UNFINISHED.fullmatch(path.name)
        if match and _is_abandoned(path):
            _remove(path, folder / match[1])


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.unfinished")


def _remove(temporary: Path, place: Path) -> None:
    with suppress(OSError):
        if temporary.is_dir():
            if (temporary / OLD).exists() and not place.exists():
                (temporary / OLD).rename(place)
            shutil.rmtree(temporary)
        else:
            temporary.unlink()


def _is_abandoned(path: Path) -> bool:
    try:
        with _opened(path) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return time.time() - path.stat().st_mtime > YOUNG
    except OSError:  # somebody holds it, or finished it just now
        return False


def _lock(descriptor: int) -> None:
    with suppress(OSError):  # some network file systems have no locks; then nothing is swept there
        fcntl.flock(descriptor, fcntl.LOCK_EX)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _sync(path: Path) -> None:
    with _opened(path) as descriptor:
        os.fsync(descriptor)


def _exchange(one: Path, other: Path) -> bool:
    """Gives each of two folders the other's name, at once; False where one is missing or the system cannot do it."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename is None:
        return False
    return rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0
