"""Writes files and folders that appear only when they are complete: under another name, then renamed.

An unfinished file is locked. So `sweep` can tell what a killed process left behind from what another one still writes.
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

UNFINISHED = re.compile(r"\.(.+)\.[0-9a-f]{8}\.unfinished")  # the temporary name of the file or folder $1
NEW, OLD = "new", "old"  # parts of an unfinished folder: the new content, and the old
YOUNG = 1.0  # seconds; a younger file may not be locked yet
FULL = (errno.ENOSPC, errno.EDQUOT)  # a disk, or one's share of it
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # Linux's fcntl.h and fs.h


@contextmanager
def writing(path: Path, *, durable: bool = False, remedy: str = "or choose another place") -> Iterator[BinaryIO]:
    """Opens a new file that appears at `path`, in place of an older one, when the block ends without an error.

    Args:
        durable: Flush the file to the disk first, so that it survives a power cut. This takes milliseconds.
        remedy: What else helps if there is no space left.

    Raises:
        UserError: The file cannot be written.
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
            temporary.replace(path)  # before the lock is released with the file
        if durable:
            _sync(path.parent)
    except OSError as error:
        if error.errno in FULL:
            raise UserError(f"no space left for {path}; free some, {remedy}") from error
        raise UserError(f"cannot write {path}: {error.strerror}; choose another place") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Yields an empty folder, which replaces `folder` when the block ends without an error.

    Even if the process is killed, `folder` is either the complete old one or the complete new one. If the file system
    cannot exchange two folders, the old one may be gone; `sweep` then brings it back.

    Raises:
        OSError: The folder cannot be made.
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


def require_space(folder: Path, size: float, who: str, remedy: str = "make room or choose another folder") -> None:
    """Checks that the disk of `folder`, which need not exist yet, has room for `size` bytes.

    Args:
        who: Beginning of the message, such as "the faces need".

    Raises:
        UserError: There is less room.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if size > free:
        raise UserError(f"{who} {size / 1e6:,.1f} MB and {folder} has {free / 1e6:,.1f} MB free; {remedy}")


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """Yields an empty folder in the system's temporary one, and removes it when the block ends. If the process is
    killed, the next call removes it."""
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
    """Removes unfinished files of killed processes in `folder`, and restores a folder that one had moved away."""
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
    except OSError:  # another process holds it, or has just finished it
        return False


def _lock(descriptor: int) -> None:
    with suppress(OSError):  # some network file systems have no locks, so nothing is swept there
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
    """Exchanges the names of two folders atomically. Returns `False` if one is missing or the system cannot do it."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename is None:
        return False
    return rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0
