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
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import IO, Any

import numpy as np
from tqdm import tqdm

from face_generation.data.annotations import (
    NAME_HEADINGS,
    PRESENCE,
    SPLIT_HEADINGS,
    Attributes,
    settled,
    split_of,
)
from face_generation.data.celeba import ARCHIVE_FILE, ATTRIBUTE_FILE, ATTRIBUTES, IMAGE_FOLDER, PARTITION_FILE
from face_generation.errors import UserError, printable
from face_generation.generator import photos

DOWNLOAD = "python scripts/download_data.py data"
EXAMPLES = 3  # how many names are kept of each kind of file that is passed over
ARCHIVE = re.compile(r".*\.(zip|tar|tar\.gz|tgz|tar\.bz2|tbz2?|tar\.xz|txz)", re.IGNORECASE)
PART = re.compile(r"(.*-)[0-9]{3}\.zip", re.IGNORECASE)  # one part of a large download from Google Drive
OFFICIAL = re.compile(rf"{IMAGE_FOLDER}\b", re.IGNORECASE)  # begins the names of the official archive and its copies
PARTITION = re.compile(rf"{PARTITION_FILE.removesuffix('.txt')}\b.*", re.IGNORECASE)
ATTRIBUTE_TABLE = re.compile(rf"{ATTRIBUTE_FILE.removesuffix('.txt')}\b.*", re.IGNORECASE)
ANNOTATION_FOLDERS = frozenset({"anno", "eval"})  # on the official drive
SYSTEM_FOLDERS = frozenset({"__MACOSX", "@eaDir"})  # a Mac's archives and Synology's disks keep copies of photos there
NESTED = 8  # levels of archives in archives that are opened; a malicious archive may hold itself
ENCRYPTED = 1  # flag of a file in a zip
FOREIGN = {
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!": "RAR",
    b"\x28\xb5\x2f\xfd": "Zstandard",
}  # archives, by their first bytes


Splits = tuple[dict[str, str], str]  # path → split, and what decided it, in words


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
        places: The same, and where the links in it lead to.
        images: The images, by their paths in the source.
        partitions: Tables of a split.
        attribute_tables: Tables of attributes.
        attributes: Attribute names and values from Parquet columns; `None` if there are none.
        splits: Splits from a Parquet column; `None` if there are none.
        passed_over: All other files, by kind.
        unreadable: Why each unreadable file or folder cannot be read, by path.
    """

    def __init__(self, path: Path, scratch: Path) -> None:
        """Lists the files at `path`. Archives inside archives are copied to unnamed files in the folder `scratch`.

        Raises:
            UserError: There is nothing at `path`, or no image in it.
        """
        self.path = path
        self.places = tuple(dict.fromkeys((path, path.resolve())))
        self.images: dict[str, File] = {}
        self.partitions: list[File] = []
        self.attribute_tables: list[File] = []
        self.attributes: Attributes | None = None
        self.splits: Splits | None = None
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
                self._add_archive(_on_disk(other.name, other).open, str(other))
        else:
            self._add_archive(_on_disk(path.name, path).open, str(path))
        self._look_into_archives()
        if self._parquet and not self.images:
            self._add_parquet()
        for kind, files in ((".parquet", self._parquet), ("archives", self._archives)):
            for file in files:
                self._pass_over(kind, file.path)
        if not self.images:
            raise UserError(
                f"{path} has neither {ARCHIVE_FILE} nor images ({self.others()}); "
                f"unpack archives of other kinds, or download the data: {DOWNLOAD}"
            )

    def others(self) -> str:
        """What was passed over, in words."""
        return "; ".join(f"{kind}: {_examples(seen)}" for kind, seen in self.passed_over.items()) or "nothing else"

    def beside(self, pattern: re.Pattern[str]) -> list[File]:
        """Files near the source whose names match.

        The two folders above the source are searched, the nearest first, and if links lead to it, also the two above
        the place where it really is. Folders in them that are called as the
        official drive calls its folders of annotations are searched, too.
        """
        for folder in dict.fromkeys(folder for place in self.places for folder in place.parents[:2]):
            listed = [path for path in _listed(folder) if path not in self.places]
            for path in [path for path in listed if path.name.lower() in ANNOTATION_FOLDERS]:
                listed += _listed(path)
            found = [path for path in listed if pattern.fullmatch(path.name) and path.is_file()]
            if plain := [path for path in found if not ARCHIVE.fullmatch(path.name)]:
                return [_on_disk(os.path.relpath(path, self.path), path) for path in plain]
            if found:
                raise UserError(f"{found[0]} may belong to the images; unpack it, or move it away")
        return []

    def _add(self, file: File) -> None:
        folder, _, name = file.path.rpartition("/")
        suffix = os.path.splitext(name)[1].lower()
        if name.startswith(".") or any(part.startswith(".") or part in SYSTEM_FOLDERS for part in folder.split("/")):
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

        The official archive, or one packed again, is opened first, and replaces all images found so far. Without it,
        all archives are opened if there are no images yet. Once there are images, only archives of tables are opened.
        """
        found = False  # whether the official archive has been opened
        for _ in range(NESTED):
            official = [file for file in self._archives if _name(file).lower() == ARCHIVE_FILE]
            if not official and not found:
                official = [file for file in self._archives if OFFICIAL.match(_name(file))]
            found = found or bool(official)
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
                self._add_archive(partial(self._on_this_disk, file), str(self.path / file.path), f"{file.path}/")

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

    def _add_archive(self, open: Callable[[], IO[bytes]], label: str, prefix: str = "") -> None:
        head = b""
        try:
            file = open()
            head = file.read(256)
            try:
                archive = zipfile.ZipFile(file)
            except zipfile.BadZipFile:
                self._add_tar(file, prefix)
            else:
                if any(info.flag_bits & ENCRYPTED for info in archive.infolist()):
                    raise UserError(f"{label} is encrypted; unpack it with its password, and give the folder")
                self._add_zip(archive, prefix)
        except UserError:
            raise
        except Exception as error:  # broken archives make zipfile, tarfile and decompressors raise many kinds
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk is at fault, not the archive
            raise UserError(f"{label} {_wrong_with(label, head)}") from None

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
        archive = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115
        links: list[tuple[str, str]] = []
        for member in archive:
            path = prefix + _shown(_harmless(member.name))
            if member.isreg():
                self._add(self._in_tar(file, lock, path, member))
            elif member.islnk():
                links.append((path, member.linkname))
            elif not member.isdir():
                self._pass_over("links in archives", path)
        files = {member.name: member for member in archive if links and member.isreg()}
        for path, name in links:  # the second name of a file that has two
            if name in files:
                self._add(self._in_tar(file, lock, path, files[name]))
            else:
                self._pass_over("links in archives", path)
        # tarfile takes a damaged header for the end. After the true end there are only zeros.
        file.seek(archive.offset)
        while block := file.read(1 << 20):
            if block.strip(b"\0"):
                raise tarfile.ReadError("there is more after the end")

    @staticmethod
    def _in_tar(file: IO[bytes], lock: Lock, path: str, member: tarfile.TarInfo) -> File:
        read = partial(_slice, file, lock, member.offset_data, member.size)
        return File(path, member.size, f"{member.size} {member.mtime}", "", read)

    def _add_parquet(self) -> None:
        tables = [_Parquet(file, str(self.path)) for file in self._parquet]
        self._parquet = []
        columns = tables[0].columns
        rows: list[np.ndarray] = []
        paths: list[str] = []
        splits: dict[str, str] = {}
        for table in tables:
            with table.complete():
                files = list(table.files())
                rows.append(table.attributes(columns))
                splits.update(zip([file.path for file in files], table.splits(), strict=False))
            for file in files:
                self._add(file)
                paths.append(file.path)
        if columns:
            self.attributes = columns, dict(zip(paths, settled(np.concatenate(rows)), strict=True))
        if self.images and self.images.keys() <= splits.keys():
            self.splits = {path: splits[path] for path in self.images}, "a column of Parquet"


class _Parquet:
    """A Parquet table as data set hubs have them: one column has image files, and others may have attributes."""

    def __init__(self, file: File, label: str) -> None:
        try:
            import pyarrow as arrow
            from pyarrow import parquet
        except ImportError:
            raise UserError(f"{label} holds Parquet; to read it: pip install pyarrow") from None
        self._source, self._label = file, f"{label}: {file.path}"
        with self.complete():
            self._file = parquet.ParquetFile(file.open())
        schema = self._file.schema_arrow
        images = [column for column in schema if _is_bytes(arrow, column.type)]
        if not images:
            raise UserError(f"{self._label} has no column of image files; choose another data set")
        image = next((column for column in images if column.name.lower() in NAME_HEADINGS), images[0])
        self._column, kind = image.name, image.type
        self._struct = arrow.types.is_struct(kind)
        self._named = self._struct and kind.get_field_index("path") >= 0
        self.columns = tuple(
            column.name for column in schema if arrow.types.is_boolean(column.type) or column.name in ATTRIBUTES
        )
        texts = [column.name for column in schema if arrow.types.is_string(column.type)]
        self._names = next((name for name in texts if name.lower() in NAME_HEADINGS), None)
        plain = [column.name for column in schema if arrow.types.is_integer(column.type) or column.name in texts]
        self._splits = next((name for name in plain if name.lower() in SPLIT_HEADINGS), None)
        groups = (self._file.metadata.row_group(index).num_rows for index in range(self._file.num_row_groups))
        self._starts = np.cumsum([0, *groups]).tolist()
        self._lock = Lock()
        self._group = lru_cache(maxsize=2)(self._read_group)

    @contextmanager
    def complete(self) -> Iterator[None]:
        """Says that the file is not complete if it cannot be read in this block."""
        try:
            yield
        except UserError:
            raise
        except Exception as error:  # broken files make pyarrow raise many kinds
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk is at fault
            raise UserError(f"{self._label} is not a complete Parquet file; download it again") from error

    def files(self) -> Iterator[File]:
        rows = self._starts[-1]
        names: Sequence[str | None] = [None] * rows
        if self._named:
            names = self._file.read(columns=[f"{self._column}.path"])[self._column].combine_chunks().field("path")
            names = names.to_pylist()  # type: ignore[attr-defined]
        if self._names and None in names:
            names = self._file.read(columns=[self._names])[self._names].to_pylist()
        if len(set(names)) < rows:
            names = [f"row {row:07}" for row in range(rows)]
        for row, name in enumerate(names):
            path = f"{self._source.path}/{_harmless(name or '')}"
            yield File(path, 0, f"{self._source.mark} {row}", "", partial(self._open, row))

    def attributes(self, columns: Sequence[str]) -> np.ndarray:
        """The attribute values, int8 N×K: those of `PRESENCE`."""
        known = [column for column in columns if column in self.columns]
        table = self._file.read(columns=known)
        values = np.zeros((self._starts[-1], len(columns)), np.int8)
        for index, column in enumerate(columns):
            if column in known:
                for row, value in enumerate(table[column].to_pylist()):
                    text = "" if value is None else str(value)
                    if text not in PRESENCE:
                        raise UserError(f"{self._label}: {column} is {text} in row {row}; it should be 1 or -1")
                    values[row, index] = PRESENCE[text]
        return values

    def splits(self) -> list[str]:
        """The split of each row; empty if no column has them."""
        if self._splits is None:
            return []
        splits = [split_of(str(value)) for value in self._file.read(columns=[self._splits])[self._splits].to_pylist()]
        return [] if None in splits else [split for split in splits if split]

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


def _wrong_with(label: str, head: bytes) -> str:
    """What is wrong with a file that cannot be read as an archive, and the remedy.

    Args:
        label: Path of the file.
        head: Its first bytes.
    """
    if head.lstrip().startswith(b"<"):
        return f"is a web page (a quota message?), not a zip; remove it and download it again: {DOWNLOAD}"
    if kind := next((kind for magic, kind in FOREIGN.items() if head.startswith(magic)), None):
        return f"is a {kind} archive, which cannot be read; unpack it, and give the folder"
    if not ARCHIVE.fullmatch(label):
        return "is not an archive; give a folder, or a zip or tar"
    return f"is cut off or damaged, or not a zip; remove it and download it again: {DOWNLOAD}"


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


def image_size(file: File) -> tuple[int, int] | None:
    """Width and height of an image in pixels, as its file states them; `None` if it is damaged."""
    try:
        with file.open() as content, photos.open_photo(content) as image:
            return image.size
    except Exception:  # broken files make Pillow and zipfile raise many kinds
        return None


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
