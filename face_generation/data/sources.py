"""Lists the files of any source of faces: folders, archives, archives in archives, and Parquet.

The files in an archive are read in place. They are never unpacked to the paths in it, so a malicious path is harmless.
"""

import bz2
import gzip
import lzma
import os
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import IO, Any

import numpy as np
from tqdm import tqdm

from face_generation.data.annotations import Attributes
from face_generation.data.celeba import ARCHIVE_FILE, ATTRIBUTE_FILE, ATTRIBUTES, PARTITION_FILE
from face_generation.errors import UserError, printable
from face_generation.generator import photos

DOWNLOAD = "python scripts/download_data.py data"
EXAMPLES = 3  # how many names are kept of each kind of file that is passed over
ARCHIVE = re.compile(r".*\.(zip|tar|tar\.gz|tgz|tar\.bz2|tbz2?|tar\.xz|txz)", re.IGNORECASE)
PART = re.compile(r"(.*-)[0-9]{3}\.zip", re.IGNORECASE)  # one part of a large download from Google Drive
PARTITION = re.compile(rf"{PARTITION_FILE.removesuffix('.txt')}\b.*", re.IGNORECASE)
ATTRIBUTE_TABLE = re.compile(rf"{ATTRIBUTE_FILE.removesuffix('.txt')}\b.*", re.IGNORECASE)
ANNOTATION_FOLDERS = frozenset({"anno", "eval"})  # on the official drive


@dataclass(frozen=True, slots=True)
class File:
    """A file in a source."""

    path: str  # relative to the source, with `/`
    size: int  # bytes; 0 if not known yet
    mark: str  # changes when the content does
    digest: str  # checksum of the content; empty if the content would have to be read for it
    open: Callable[[], IO[bytes]]


@dataclass
class PassedOver:
    """How many files of a kind were passed over, and a few of their names."""

    count: int = 0
    examples: list[str] = field(default_factory=list)


class Source:
    """What a folder, an archive or a Parquet file holds.

    Attributes:
        path: Path of the source.
        images: The images, by their paths in the source.
        partitions: Tables of a split.
        attribute_tables: Tables of attributes.
        attributes: Attribute names and values from Parquet columns; `None` if there are none.
        passed_over: All other files, by kind.
        unreadable: Why each unreadable file or folder cannot be read, by path.
    """

    def __init__(self, path: Path, scratch: Path) -> None:
        """Lists the files at `path`. Archives inside archives are copied to unnamed files in the folder `scratch`.

        Raises:
            UserError: There is nothing at `path`, or no image in it.
        """
        self.path = path
        self.images: dict[str, File] = {}
        self.partitions: list[File] = []
        self.attribute_tables: list[File] = []
        self.attributes: Attributes | None = None
        self.passed_over: dict[str, PassedOver] = {}
        self.unreadable: dict[str, str] = {}
        self._scratch = scratch
        self._archives: list[File] = []
        self._parquet: list[File] = []
        self._suffixes = photos.suffixes()

        if path.is_dir():
            self._add_folder(path)
        elif not path.is_file():
            raise UserError(f"{path} does not exist, or is not a folder or file; download the data first: {DOWNLOAD}")
        elif path.suffix.lower() == ".parquet":
            self._add(_on_disk(path.name, path))
        elif part := PART.fullmatch(path.name):
            parts = (other for other in path.parent.iterdir() if other.name.startswith(part[1]))
            for other in sorted(other for other in parts if PART.fullmatch(other.name)):
                self._add_archive(other.open("rb"), str(other))
        else:
            self._add_archive(path.open("rb"), str(path))
        self._look_into_archives()
        if self._parquet and not self.images:
            self._add_parquet()
        for kind, files in ((".parquet", self._parquet), ("archives", self._archives)):
            for file in files:
                self._pass_over(kind, file.path)
        if not self.images:
            there = "; ".join(f"{kind}: {_examples(seen)}" for kind, seen in self.passed_over.items()) or "nothing else"
            raise UserError(
                f"{path} has neither {ARCHIVE_FILE} nor images ({there}); "
                f"unpack archives of other kinds, or download the data: {DOWNLOAD}"
            )

    def beside(self, pattern: re.Pattern[str]) -> list[File]:
        """Files near the source whose names match.

        The two folders above the source are searched, the nearest first. Folders in them that are called as the
        official drive calls its folders of annotations are searched, too.
        """
        for folder in self.path.parents[:2]:
            listed = [path for path in _listed(folder) if path != self.path]
            for path in [path for path in listed if path.name.lower() in ANNOTATION_FOLDERS]:
                listed += _listed(path)
            found = [path for path in listed if pattern.fullmatch(path.name) and not ARCHIVE.fullmatch(path.name)]
            if found := [path for path in found if path.is_file()]:
                return [_on_disk(os.path.relpath(path, self.path), path) for path in found]
        return []

    def _add(self, file: File) -> None:
        folder, _, name = file.path.rpartition("/")
        suffix = os.path.splitext(name)[1].lower()
        if name.startswith(".") or any(part.startswith(".") or part == "__MACOSX" for part in folder.split("/")):
            self._pass_over("hidden", file.path)
        elif ARCHIVE.fullmatch(name):
            self._archives.append(file)
        elif PARTITION.fullmatch(name):
            self.partitions.append(file)
        elif ATTRIBUTE_TABLE.fullmatch(name):
            self.attribute_tables.append(file)
        elif suffix == ".parquet":
            self._parquet.append(file)
        elif suffix in self._suffixes or _shows_a_picture(file):
            if file.path in self.images:
                self._pass_over("replaced by a later file of the same name", file.path)
            self.images[file.path] = file
        else:
            self._pass_over(suffix or "without a suffix", file.path)

    def _pass_over(self, kind: str, path: str) -> None:
        seen = self.passed_over.setdefault(kind, PassedOver())
        seen.count += 1
        if len(seen.examples) < EXAMPLES:
            seen.examples.append(path)

    def _add_folder(self, root: Path) -> None:
        """Adds a folder and everything that it links to. Each folder is read once, so circular links do no harm."""
        seen: set[tuple[int, int]] = set()
        folders, links = deque([""]), deque[str]()
        while folders or links:
            prefix = folders.popleft() if folders else links.popleft()
            try:
                status = os.stat(root / prefix)
                if (status.st_dev, status.st_ino) in seen:
                    self._pass_over("links to folders that are read already", prefix.rstrip("/"))
                    continue
                seen.add((status.st_dev, status.st_ino))
                entries = sorted(os.scandir(root / prefix), key=lambda entry: entry.name)
            except OSError as error:
                if not prefix:
                    raise
                self.unreadable[_shown(prefix)] = f"a folder that cannot be read ({error.strerror})"
                continue
            for entry in entries:
                path = prefix + entry.name
                try:
                    status = entry.stat()
                except OSError as error:
                    link = entry.is_symlink()
                    self.unreadable[_shown(path)] = "a link to nothing" if link else error.strerror or str(error)
                    continue
                if stat.S_ISDIR(status.st_mode) and not entry.name.startswith("."):
                    (links if entry.is_symlink() else folders).append(f"{path}/")
                elif stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
                    self._add(_on_disk(_shown(path), Path(entry.path), status))
                else:
                    self._pass_over("pipes and devices", _shown(path))

    def _look_into_archives(self) -> None:
        """Opens archives that are in the source.

        The official archive is opened first, and replaces all images found so far. Without it, all archives are opened
        if there are no images yet. Once there are images, only archives of tables are opened.
        """
        while self._archives:
            official = [file for file in self._archives if _name(file).lower() == ARCHIVE_FILE]
            tables = [file for file in self._archives if _name(file).lower().startswith("list_")]
            chosen = official or (self._archives if not self.images else tables)
            if not chosen:
                return
            if official:
                for path in self.images:
                    self._pass_over(f"images outside {ARCHIVE_FILE}", path)
                self.images.clear()
            self._archives = [file for file in self._archives if file not in chosen]
            for file in chosen:
                self._add_archive(self._on_this_disk(file), str(self.path / file.path), f"{file.path}/")

    def _on_this_disk(self, file: File) -> IO[bytes]:
        """Opens a file for seeking. A file in an archive is copied for that."""
        content = file.open()
        if not isinstance(content, zipfile.ZipExtFile | BytesIO):
            return content
        copy = tempfile.TemporaryFile(dir=self._scratch)  # noqa: SIM115 (open as long as the source)
        name = _name(file)
        with content, tqdm.wrapattr(content, "read", file.size, desc=f"reading {printable(name)}", delay=1) as counted:
            shutil.copyfileobj(counted, copy, 1 << 20)
        return copy

    def _add_archive(self, file: IO[bytes], label: str, prefix: str = "") -> None:
        try:
            self._add_zip(zipfile.ZipFile(file), prefix)
        except zipfile.BadZipFile:
            try:
                self._add_tar(file, prefix)
            except (tarfile.TarError, EOFError, OSError, lzma.LZMAError) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise  # the disk is at fault, not the archive
                file.seek(0)
                html = file.read(256).lstrip().startswith(b"<")
                what = "is a web page (a quota message?), not a zip" if html else "is cut off, or not a zip"
                raise UserError(f"{label} {what}; remove it and download it again: {DOWNLOAD}") from None

    def _add_zip(self, archive: zipfile.ZipFile, prefix: str) -> None:
        for info in archive.infolist():
            if not info.filename.endswith(("/", "\\")):
                mark = f"{info.file_size} {info.CRC:08x}"
                path = prefix + _harmless(_zip_name(info))
                self._add(File(path, info.file_size, mark, mark, partial(archive.open, info)))

    def _add_tar(self, file: IO[bytes], prefix: str) -> None:
        """Adds a tar. A compressed tar is decompressed first, because only a plain one can be read at any offset."""
        file.seek(0)
        head = file.read(6)
        file.seek(0)
        for magic, unpack in ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\0", lzma.open)):
            if head.startswith(magic):
                copy = tempfile.TemporaryFile(dir=self._scratch)  # noqa: SIM115 (open as long as the source)
                with unpack(file) as content:
                    shutil.copyfileobj(content, copy, 1 << 20)
                file = copy
        file.seek(0)
        lock = Lock()
        for member in tarfile.open(fileobj=file, mode="r:"):  # noqa: SIM115
            path = prefix + _harmless(member.name)
            if member.isreg():
                mark = f"{member.size} {member.mtime}"
                read = partial(_slice, file, lock, member.offset_data, member.size)
                self._add(File(path, member.size, mark, "", read))
            elif not member.isdir():
                self._pass_over("links in archives", path)

    def _add_parquet(self) -> None:
        tables = [_Parquet(file, str(self.path)) for file in self._parquet]
        self._parquet = []
        values: dict[str, np.ndarray] = {}
        columns = tables[0].columns
        for table in tables:
            for file, row in zip(table.files(), table.attributes(columns), strict=True):
                self._add(file)
                values[file.path] = row
        if columns:
            self.attributes = columns, values


class _Parquet:
    """A Parquet table as data set hubs have them: one column has image files, and others may have attributes."""

    def __init__(self, file: File, label: str) -> None:
        try:
            import pyarrow as arrow
            from pyarrow import parquet
        except ImportError:
            raise UserError(f"{label} holds Parquet; to read it: pip install pyarrow") from None
        self._arrow, self._source = arrow, file
        try:
            self._file = parquet.ParquetFile(file.open())
        except (arrow.ArrowException, OSError) as error:
            raise UserError(f"{label}: {file.path} is not a complete Parquet file; download it again") from error
        schema = self._file.schema_arrow
        images = [column for column in schema if _is_bytes(arrow, column.type)]
        if not images:
            raise UserError(f"{label}: {file.path} has no column of image files; choose another data set")
        self._column, kind = images[0].name, images[0].type
        self._struct = arrow.types.is_struct(kind)
        self._named = self._struct and kind.get_field_index("path") >= 0
        self.columns = tuple(
            column.name for column in schema if arrow.types.is_boolean(column.type) or column.name in ATTRIBUTES
        )
        groups = (self._file.metadata.row_group(index).num_rows for index in range(self._file.num_row_groups))
        self._starts = np.cumsum([0, *groups]).tolist()
        self._lock = Lock()
        self._group = lru_cache(maxsize=2)(self._read_group)

    def files(self) -> Iterator[File]:
        rows = self._starts[-1]
        names: Sequence[str | None] = [None] * rows
        if self._named:
            names = self._file.read(columns=[f"{self._column}.path"])[self._column].combine_chunks().field("path")
            names = names.to_pylist()  # type: ignore[attr-defined]
        if len(set(names)) < rows:
            names = [f"row {row:07}" for row in range(rows)]
        for row, name in enumerate(names):
            path = f"{self._source.path}/{_harmless(name or '')}"
            yield File(path, 0, f"{self._source.mark} {row}", "", partial(self._open, row))

    def attributes(self, columns: Sequence[str]) -> np.ndarray:
        """The attribute values, int8 N×K: 1, -1, or 0 if unknown."""
        known = [column for column in columns if column in self.columns]
        table = self._file.read(columns=known)
        values = np.zeros((self._starts[-1], len(columns)), np.int8)
        for index, column in enumerate(columns):
            if column in known:
                for row, value in enumerate(table[column].to_pylist()):
                    values[row, index] = 0 if value is None else 1 if value > 0 else -1
        return values

    def _open(self, row: int) -> IO[bytes]:
        group = bisect_right(self._starts, row) - 1
        with self._lock:
            content = self._group(group)[row - self._starts[group]].as_py()
        content = content["bytes"] if self._struct and content else content
        if content is None:
            raise ValueError("has no content")
        return BytesIO(content)

    def _read_group(self, group: int) -> Any:
        return self._file.read_row_group(group, columns=[self._column])[self._column]


def _is_bytes(arrow: Any, kind: Any) -> bool:
    if arrow.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    return arrow.types.is_binary(kind) or arrow.types.is_large_binary(kind)


def _on_disk(path: str, place: Path, status: os.stat_result | None = None) -> File:
    status = status or place.stat()
    return File(path, status.st_size, f"{status.st_size} {status.st_mtime_ns}", "", lambda: place.open("rb"))


def _slice(file: IO[bytes], lock: Lock, start: int, size: int) -> IO[bytes]:
    with lock:
        file.seek(start)
        return BytesIO(file.read(size))


def _shows_a_picture(file: File) -> bool:
    try:
        with file.open() as content:
            return photos.is_photo(content)
    except Exception:  # it cannot be opened, so it can only be passed over
        return False


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _name(file: File) -> str:
    return file.path.rpartition("/")[2]


def _zip_name(info: zipfile.ZipInfo) -> str:
    """The name of a file in a zip. Many programs write it in UTF-8 without setting the flag for it."""
    if info.filename.isascii() or info.flag_bits & 0x800:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _harmless(path: str) -> str:
    """A path in an archive, made relative: with `/`, and without a drive, a root or steps upwards."""
    parts = re.sub(r"^[A-Za-z]:", "", path.replace("\\", "/")).split("/")
    return "/".join(part for part in parts if part not in ("", ".", ".."))


def _shown(path: str) -> str:
    """A path as text. Bytes that are not UTF-8, as in names from an old disk, become \\x and two digits."""
    return path if path.isascii() else os.fsencode(path).decode("utf-8", "backslashreplace")


def _examples(seen: PassedOver) -> str:
    return f"{seen.count:,}, such as {seen.examples[0]}"
