"""Downloads an archive whose checksum is known. It resumes, and renames the archive only after checking it."""

import base64
import hashlib
import http.client
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from face_generation.errors import UserError

TIMEOUT = 60.0  # seconds: to connect, and to wait for the next byte
BLOCK = 1 << 16  # bytes


@dataclass(frozen=True)
class Archive:
    """A file on a server. It never changes."""

    url: str
    size: int  # bytes
    integrity: str  # its SHA-512 as npm writes it, in base64

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]


def download(archive: Archive, folder: Path, remedy: str) -> Path:
    """Downloads an archive into `folder`, unless it is already there.

    Until it is checked, its name ends with `.part`. If the network fails, that file stays, and the next call continues
    it.

    Args:
        archive: What to download.
        folder: Where to put it.
        remedy: What users without a network can do. It ends the message if the download fails.

    Returns:
        The path of the archive.

    Raises:
        UserError: The archive cannot be downloaded, its checksum is wrong, or the folder cannot be written.
    """
    target = folder / archive.name
    partial = folder / f"{archive.name}.part"
    try:
        if target.is_file() and _is_right(target, archive):
            return target
        folder.mkdir(parents=True, exist_ok=True)
        _bring(archive, partial)
        if not _is_right(partial, archive):
            partial.unlink()
            raise UserError(f"{archive.url} gave the wrong file; {remedy}")
        partial.replace(target)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error or type(error).__name__
        raise UserError(
            f"{archive.url} could not be downloaded ({reason}); run this again to continue, or {remedy}"
        ) from error
    except OSError as error:
        raise UserError(f"cannot write into {folder}: {error.strerror}; put that right and run this again") from error
    return target


def _bring(archive: Archive, partial: Path) -> None:
    """Tries again as long as each attempt brings new bytes."""
    with tqdm(desc=archive.name, total=archive.size, unit="B", unit_scale=True) as bar:
        while (before := _size(partial)) < archive.size:
            try:
                _continue(archive, partial, bar)
            except (http.client.HTTPException, TimeoutError, ConnectionError):
                if _size(partial) <= before:
                    raise
            else:
                if _size(partial) < archive.size and _size(partial) <= before:
                    raise ConnectionError("it ends too early")


def _continue(archive: Archive, partial: Path, bar: tqdm) -> None:
    start = _size(partial)
    request = urllib.request.Request(archive.url, headers={"Range": f"bytes={start}-"} if start else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        resumed = answer.status == 206
        with partial.open("ab" if resumed else "wb") as file:
            bar.update(file.tell() - bar.n)
            while block := answer.read(BLOCK):
                file.write(block)
                bar.update(len(block))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _is_right(path: Path, archive: Archive) -> bool:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha512").digest()
    return f"sha512-{base64.b64encode(digest).decode()}" == archive.integrity
