"""Downloads the official CelebA files: tries several sources, resumes, and renames a file only after checking it."""

import hashlib
import html
import io
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import gdown
from gdown.exceptions import DownloadError
from requests import ConnectionError, HTTPError, RequestException, Timeout
from tqdm import tqdm

from face_generation.data.celeba import FILES, RawFile
from face_generation.errors import UserError
from face_generation.files import require_space

OFFICIAL_PAGE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
TIMEOUT = (10.0, 60.0)  # seconds: to connect, and to wait for the next byte
RETRIES = 2  # attempts in a row that bring no byte, before gdown gives up; its pauses grow
HEAD = 4096  # bytes at the beginning of a file, which tell a zip from a web page


class _WrongContent(Exception):
    """A source sends something else than the file."""


class _SeenEnough(Exception):
    """Ends a download early, because its beginning is enough to judge the source."""


def download_all(folder: Path, *, mirror: str | None = None, keep_existing: bool = False) -> None:
    """Downloads every official file into `folder`; see `download`."""
    for file in FILES.values():
        download(file, folder, mirror=mirror, keep_existing=keep_existing)


def download(file: RawFile, folder: Path, *, mirror: str | None = None, keep_existing: bool = False) -> None:
    """Downloads one file into `folder` and prints a line about it. A file that is already there is only checked.

    The file's direct addresses are tried first, then Google Drive. The file has another name (`<name>.unchecked…`)
    until its size and MD5 are checked. If the network fails, the partial file stays, and the next source or the next
    call continues it.

    Args:
        file: Which file.
        folder: Where to put it.
        mirror: Address of a folder that has the files. It replaces all other sources.
        keep_existing: Accept an existing file without checking it, such as a smaller archive of the user's own.

    Raises:
        UserError: A different file has the name, the disk is full or not writable, or no source has the file.
    """
    target = folder / file.name
    try:
        if target.exists():
            _accept(target, file, keep_existing)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            _bring(file, target, _sources(file, mirror))
    except OSError as error:
        raise UserError(
            f"cannot read or write {error.filename or folder}: {error.strerror or error}; "
            "put that right and run this again (what has arrived is kept)"
        ) from error


def _accept(target: Path, file: RawFile, keep_existing: bool) -> None:
    if keep_existing:
        print(f"{target}: kept as it is, not checked")
    elif problem := _problem(target, file):
        raise UserError(
            f"{target} is not the official file: {problem}; move it away to download it again, "
            "or say --keep-existing if it is a smaller one of your own"
        )
    else:
        print(f"{target}: already there, size and MD5 are right")


def _bring(file: RawFile, target: Path, sources: Iterator[str]) -> None:
    unchecked = target.with_name(f"{file.name}.unchecked")
    _require_space(file, unchecked)
    failures = []
    for url in sources:
        try:
            _look(url, file)
            _fetch(url, file, unchecked)
            if problem := _problem(unchecked, file):
                unchecked.unlink()
                raise _WrongContent(problem)
        except (_WrongContent, DownloadError, RequestException) as error:
            failures.append(f"{url.partition('?')[0]}: {_reason(error)}")
        else:
            unchecked.chmod(0o644)  # gdown makes it unreadable to others
            unchecked.rename(target)
            print(f"{target}: downloaded, size and MD5 are right")
            return
    raise UserError(
        f"no source gave {file.name} ({'; '.join(failures)}); run this again later, "
        f"or get it by hand from {OFFICIAL_PAGE} and put it into {target.parent.absolute()}"
    )


def _sources(file: RawFile, mirror: str | None) -> Iterator[str]:
    if mirror:
        yield f"{mirror.rstrip('/')}/{file.name}"
        return
    yield from file.urls
    if file.drive_id:
        yield f"https://drive.google.com/uc?id={file.drive_id}"


def _look(url: str, file: RawFile) -> None:
    """Checks the beginning of a source, so that a "quota exceeded" page is never appended to a partial file.

    Raises:
        _WrongContent: The source does not send the file.
    """
    head = io.BytesIO()

    def judge(_: int, total: int | None) -> None:
        if problem := _mismatch(file, head.getvalue()[:HEAD], total):
            raise _WrongContent(problem)
        raise _SeenEnough

    with suppress(_SeenEnough):
        gdown.download(url, head, quiet=True, use_cookies=False, timeout=TIMEOUT, progress=judge)


def _fetch(url: str, file: RawFile, unchecked: Path) -> None:
    """Retries as long as attempts bring new bytes. If the source cannot resume, starts over, but only once."""
    started_over = False
    with tqdm(desc=file.name, total=file.size, initial=_received(unchecked), unit="B", unit_scale=True) as bar:
        while not unchecked.exists():
            before = _received(unchecked)
            try:
                gdown.download(
                    url,
                    str(unchecked),
                    quiet=True,
                    use_cookies=False,
                    resume=True,
                    timeout=TIMEOUT,
                    retries=RETRIES,
                    progress=lambda received, _: bar.update(received - bar.n),
                )
            except (DownloadError, RequestException) as error:
                if _received(unchecked) > before:
                    continue
                # gdown chains network errors. If none is chained, the source itself refused to continue the file.
                cannot_resume = type(error) is DownloadError and error.__cause__ is None
                if started_over or not before or not cannot_resume:
                    raise
                started_over = True
                for part in _parts(unchecked):
                    part.unlink()


def _parts(unchecked: Path) -> list[Path]:
    """The partial files of gdown, which adds eight characters and `.part` to the name."""
    return list(unchecked.parent.glob(f"{unchecked.name}*.part"))


def _received(unchecked: Path) -> int:
    return sum(part.stat().st_size for part in _parts(unchecked))


def _require_space(file: RawFile, unchecked: Path) -> None:
    missing = 0 if unchecked.exists() else file.size - _received(unchecked)
    require_space(unchecked.parent, missing, f"{file.name} still needs")


def _problem(path: Path, file: RawFile) -> str | None:
    """Why the file at `path` is not `file`; `None` if it is."""
    with path.open("rb") as content:
        size = path.stat().st_size
        if problem := _mismatch(file, content.read(HEAD), size):
            return problem
        content.seek(0)
        digest = hashlib.md5(usedforsecurity=False)
        with tqdm(desc=f"checking {file.name}", total=size, unit="B", unit_scale=True) as bar:
            while block := content.read(1 << 20):
                digest.update(block)
                bar.update(len(block))
    return None if digest.hexdigest() == file.md5 else f"its MD5 is {digest.hexdigest()}, not {file.md5}"


def _mismatch(file: RawFile, head: bytes, size: int | None) -> str | None:
    """Why the first bytes or the size (if known) cannot be those of `file`; `None` if they can."""
    if head.lstrip().startswith(b"<"):
        title = re.search(rb"<title>(.*?)</title>", head, re.DOTALL | re.IGNORECASE)
        named = f' titled "{_one_line(html.unescape(title[1].decode(errors="replace")))}"' if title else ""
        return f"it is a web page{named}, such as a notice that the download quota is exceeded"
    if size is not None and size != file.size:
        return f"it has {size:,} bytes, not {file.size:,}"
    if file.name.endswith(".zip") and not head.startswith(b"PK"):
        return "it is not a zip"
    return None


def _reason(error: Exception) -> str:
    cause = error.__cause__ or error
    if isinstance(cause, HTTPError) and cause.response is not None:
        return f"{cause.response.status_code} {cause.response.reason}"
    if isinstance(cause, Timeout):
        return "no answer in time"
    if isinstance(cause, ConnectionError):
        return "no connection"
    return _one_line(str(cause))


def _one_line(text: str) -> str:
    return " ".join(text.split())
