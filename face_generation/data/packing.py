"""Packs images into one memory-mapped array a split: `train.npy`, `val.npy` and `test.npy`, N×150×150×3 uint8 RGB.

Beside each array lies a table of the same rows (`train.csv`, …): the image's name and its attributes, 1, -1, or 0 where
unknown. `summary.json` says what was packed and what was left out. Images are read from inside the archive, chunk by
chunk, and rows are only ever appended, so memory stays small and a run that was killed goes on where it stopped.
"""

import csv
import hashlib
import json
import os
import shutil
import warnings
import zipfile
from collections import Counter, deque
from collections.abc import Container, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import IO, BinaryIO, Protocol

import numpy as np
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from face_generation.data.celeba import (
    ARCHIVE_FILE,
    ATTRIBUTE_FILE,
    IMAGE_FOLDER,
    PARTITION_FILE,
    SPLITS,
    official_split,
    read_attributes,
    read_partition,
)
from face_generation.errors import UserError
from face_generation.generator.photos import centred_square

IMAGE_SIZE = 150  # pixels, both sides
ROW_SHAPE = (IMAGE_SIZE, IMAGE_SIZE, 3)
ROW_BYTES = IMAGE_SIZE * IMAGE_SIZE * 3
HEADER_BYTES = 128  # of a .npy file of such rows, whatever their number
CHUNK = 64  # images that a thread turns into rows at a time: 4.3 MB
MAX_FILE_BYTES = 100_000_000  # a larger image file is left out
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
DOWNLOAD = "python scripts/download_data.py data"


@dataclass(frozen=True)
class Summary:
    """What was packed: the contents of `summary.json`."""

    source: str  # name of the archive or folder
    split_by: str  # what decided each image's split, in words
    image_size: int  # pixels
    counts: dict[str, int]  # images by split
    damaged: dict[str, str]  # name of each image left out, and why
    fingerprint: str  # of the images, their splits and their attributes


def pack(
    source: Path, destination: Path, *, seed: int = 0, val: float = 0.1, test: float = 0.1, threads: int | None = None
) -> tuple[Summary, bool]:
    """Packs `source` into the folder `destination`, which appears when it is whole.

    Args:
        source: the folder with CelebA's files, a zip, or a folder of photos (searched with its subfolders). CelebA's
            partition and attribute files are used where they lie beside the zip or in the folder.
        destination: the folder to make. `<destination>.partial` beside it holds the work until then.
        seed: of the random split of images that are not CelebA's.
        val: share of such images that goes to validation, from 0 to 1.
        test: share of such images that goes to test, from 0 to 1.
        threads: how many decode images; one for each core, up to 16, if `None`.

    Returns:
        The summary, and whether there was anything to do: `False` if `destination` already holds the same.

    Raises:
        UserError: the source or its text files cannot be used, `destination` holds something else, or the disk is full.
    """
    if threads is not None and threads < 1:
        raise UserError(f"{threads} threads cannot work; give 1 or more, or leave it out")
    source, destination = source.absolute(), destination.absolute()
    try:
        images = _open(source)
        plan = _plan(images, seed, val, test)
        if summary := _packed_so_far(destination, plan):
            return summary, False
        if destination.is_dir() and not any(destination.iterdir()):
            destination.rmdir()
        if destination.exists():
            raise UserError(f"{destination} holds something else; remove it or choose another folder")
        return _pack(images, plan, destination, threads or _cores()), True
    except OSError as error:
        raise UserError(
            f"{error.filename or destination}: {error.strerror or error}; put that right and run the same command "
            "again (it goes on where it stopped)"
        ) from error


def read_image(data: bytes) -> np.ndarray:
    """Decodes an image file, turns it upright, and resizes its centred square: 150×150×3 uint8 RGB."""
    with Image.open(BytesIO(data)) as image:
        return centred_square(image, IMAGE_SIZE)


# --- the images ---------------------------------------------------------------------------------------------------


class _Images(Protocol):
    """Image files under a root, each known by its path there (with `/`)."""

    root: Path  # a folder, or a zip's path without its suffix
    text_folder: Path  # where the partition and attribute files would be
    marks: dict[str, str]  # path → a mark that changes when the file does

    def open(self, path: str) -> IO[bytes]: ...


class _Zip:
    def __init__(self, path: Path) -> None:
        self.root, self.text_folder = path.with_suffix(""), path.parent
        self.marks: dict[str, str] = {}
        try:
            self._zip = zipfile.ZipFile(path)
        except zipfile.BadZipFile:
            with path.open("rb") as file:
                html = file.read(256).lstrip().startswith(b"<")
            what = "is a web page (a quota message?), not a zip" if html else "is cut off, or not a zip"
            raise UserError(f"{path} {what}; remove it and download it again: {DOWNLOAD}") from None
        for info in self._zip.infolist():
            parts = info.filename.replace("\\", "/").split("/")
            if parts[0] == "" or ".." in parts or parts[0][1:2] == ":":
                raise UserError(f"{path} has an unsafe file name, {info.filename!r}; get the archive from elsewhere")
            if _is_image(parts):
                self.marks[info.filename] = f"{info.file_size} {info.CRC:08x}"

    def open(self, path: str) -> IO[bytes]:
        return self._zip.open(path)


class _Folder:
    def __init__(self, path: Path) -> None:
        self.root = self.text_folder = path
        self.marks: dict[str, str] = {}
        for folder, _, files in os.walk(path, onerror=self._refuse):
            for file in files:
                relative = Path(folder, file).relative_to(path)
                if _is_image(relative.parts):
                    stat = (path / relative).stat()
                    self.marks[relative.as_posix()] = f"{stat.st_size} {stat.st_mtime_ns}"
        for name in self.marks:
            if not name.isascii() and any("\ud800" <= letter <= "\udfff" for letter in name):
                raise UserError(f"{path} has a file name that is not Unicode, {name!r}; rename that file")

    @staticmethod
    def _refuse(error: OSError) -> None:
        raise error  # without this, photos in a folder that cannot be read would silently be missing

    def open(self, path: str) -> IO[bytes]:
        return (self.root / path).open("rb")


def _is_image(parts: Sequence[str]) -> bool:
    """Whether a path is an image's, and not one of those that macOS hides in folders and archives."""
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not hidden and os.path.splitext(parts[-1])[1].lower() in IMAGE_SUFFIXES


def _open(source: Path) -> _Images:
    path = source / ARCHIVE_FILE if (source / ARCHIVE_FILE).is_file() else source
    if not path.exists():
        raise UserError(f"{path} does not exist; download the data first: {DOWNLOAD}")
    images: _Images = _Folder(path) if path.is_dir() else _Zip(path)
    if not images.marks:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        raise UserError(
            f"{path} has neither {ARCHIVE_FILE} nor images ({kinds}); "
            f"download the data ({DOWNLOAD}), or name another zip by its own path"
        )
    return images


# --- which image goes where ---------------------------------------------------------------------------------------

_Rows = list[tuple[str, str]]  # name and path of each image


@dataclass(frozen=True)
class _Plan:
    source: str  # name of the archive or folder
    split_by: str
    rows: dict[str, _Rows]  # split → its images, in order of the names
    columns: tuple[str, ...]  # attributes
    attributes: dict[str, np.ndarray]  # name → values
    fingerprint: str


def _plan(images: _Images, seed: int, val: float, test: float) -> _Plan:
    splits, split_by = _celeba_splits(images)
    names = {path: _file_name(path) for path in splits}  # CelebA's text files know the images by their file names
    if not splits:
        splits, split_by = _random_splits(sorted(images.marks), seed, val, test), f"chance, with seed {seed}"
        names = {path: path for path in splits}
    name, count = Counter(names.values()).most_common(1)[0]
    if count > 1:
        raise UserError(f"{images.root} has {count} images of the name {name}; leave only one of them")

    columns: tuple[str, ...] = ()
    attributes: dict[str, np.ndarray] = {}
    if (images.text_folder / ATTRIBUTE_FILE).exists():
        columns, attributes = read_attributes(images.text_folder / ATTRIBUTE_FILE)
        if attributes.keys().isdisjoint(names.values()):
            columns, attributes = (), {}

    rows: dict[str, _Rows] = {split: [] for split in SPLITS}
    digest = hashlib.sha256(json.dumps([IMAGE_SIZE, columns]).encode())
    for name, path in sorted((name, path) for path, name in names.items()):
        rows[splits[path]].append((name, path))
        digest.update(json.dumps([splits[path], name, images.marks[path]]).encode())
        digest.update(attributes[name].tobytes() if name in attributes else b"")
    return _Plan(images.root.name, split_by, rows, columns, attributes, digest.hexdigest())


def _celeba_splits(images: _Images) -> tuple[dict[str, str], str]:
    """The split of each image by the partition file or by CelebA's own numbers; none if these are other images."""
    numbered = {
        path: split
        for path in images.marks
        if f"{images.root.name}/{path}".split("/")[-2] == IMAGE_FOLDER and (split := official_split(_file_name(path)))
    }
    splits, split_by = numbered, "CelebA's image numbers"
    file = images.text_folder / PARTITION_FILE
    if file.exists():
        partition = read_partition(file)
        splits = {path: partition[name] for path in images.marks if (name := _file_name(path)) in partition}
        split_by = PARTITION_FILE
    if (splits or numbered) and len(splits) < len(images.marks):
        other = min(images.marks.keys() - splits.keys())
        raise UserError(
            f"{split_by} cannot place {len(images.marks) - len(splits)} of {len(images.marks)} images, such as {other} "
            f"in {images.root}; use the {PARTITION_FILE} that belongs to them"
        )
    return splits, split_by


def _random_splits(paths: Sequence[str], seed: int, val: float, test: float) -> dict[str, str]:
    """Splits by a hash of seed and path, so that adding a photo hardly moves the others."""
    if not (val >= 0 and test >= 0 and val + test < 1):
        raise UserError(f"val={val} and test={test} leave nothing to train on; give shares that sum to less than 1")
    counts = {"val": val, "test": test}
    held_out = [split for split, share in counts.items() if share for _ in range(max(1, round(share * len(paths))))]
    if len(held_out) >= len(paths):
        raise UserError(f"{len(paths)} images are too few to split; add more, or set the val and test shares to 0")
    order = sorted(paths, key=lambda path: hashlib.sha256(f"{seed}/{path}".encode()).digest())
    return dict.fromkeys(order, "train") | dict(zip(order, held_out, strict=False))


def _file_name(path: str) -> str:
    return path.rpartition("/")[2]


# --- the work -----------------------------------------------------------------------------------------------------


def _pack(images: _Images, plan: _Plan, destination: Path, threads: int) -> Summary:
    work = destination.with_name(destination.name + ".partial")
    nothing = Summary(plan.source, plan.split_by, IMAGE_SIZE, dict.fromkeys(SPLITS, 0), {}, plan.fingerprint)
    summary = _packed_so_far(work, plan) or nothing
    finished = sum(summary.counts.values()) + len(summary.damaged)
    total = sum(map(len, plan.rows.values()))
    if work.exists() and not finished:
        shutil.rmtree(work)
    destination.parent.mkdir(parents=True, exist_ok=True)
    _check_space(destination.parent, (total - finished) * ROW_BYTES)
    work.mkdir(exist_ok=True)

    chunks = [(split, rows[i : i + CHUNK]) for split, rows in plan.rows.items() for i in range(0, len(rows), CHUNK)]
    ends = accumulate(len(rows) for _, rows in chunks)
    chunks = [chunk for chunk, end in zip(chunks, ends, strict=True) if end > finished]
    with ExitStack() as stack:
        files = {split: stack.enter_context(_open_array(work, split, summary.counts[split])) for split in SPLITS}
        bar = stack.enter_context(tqdm(desc="packing", unit=" images", total=total, initial=finished))
        # Pillow only warns of an image that may be a decompression bomb; here it counts as damaged.
        stack.enter_context(warnings.catch_warnings(category=Image.DecompressionBombWarning, action="error"))
        pool = stack.enter_context(ThreadPoolExecutor(threads))  # Pillow and zlib let other threads run
        for (split, rows), (array, damaged) in zip(chunks, _decoded(pool, images, chunks, threads + 2), strict=True):
            files[split].write(array.data)
            files[split].flush()
            summary.counts[split] += len(array)
            summary.damaged.update(damaged)
            _write_summary(work, summary)
            bar.update(len(rows))
        for split, file in files.items():
            file.seek(0)
            shape = (summary.counts[split], *ROW_SHAPE)
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            file.flush()
            os.fsync(file.fileno())
    if not any(summary.counts.values()):
        name, reason = next(iter(summary.damaged.items()))
        raise UserError(f"none of the {total} images can be read ({name}: {reason}); get them again")
    for split in SPLITS:
        _write_table(work / f"{split}.csv", plan, split, summary.damaged)
    os.replace(work, destination)
    return summary


def _decoded(
    pool: ThreadPoolExecutor, images: _Images, chunks: Sequence[tuple[str, _Rows]], ahead: int
) -> Iterator[tuple[np.ndarray, dict[str, str]]]:
    """What `_decode` makes of each chunk, in order, with at most `ahead` chunks in memory."""
    pending: deque[Future[tuple[np.ndarray, dict[str, str]]]] = deque()
    for _, rows in chunks:
        if len(pending) == ahead:
            yield pending.popleft().result()
        pending.append(pool.submit(_decode, images, rows))
    while pending:
        yield pending.popleft().result()


def _decode(images: _Images, rows: _Rows) -> tuple[np.ndarray, dict[str, str]]:
    """The images that can be read, and the names of the others with the reason."""
    array = np.empty((len(rows), *ROW_SHAPE), np.uint8)
    damaged: dict[str, str] = {}
    for index, (name, path) in enumerate(rows):
        try:
            with images.open(path) as file:
                data = file.read(MAX_FILE_BYTES + 1)
            if len(data) > MAX_FILE_BYTES:
                raise ValueError(f"larger than {MAX_FILE_BYTES:,} bytes")
            array[index - len(damaged)] = read_image(data)
        except UnidentifiedImageError:
            damaged[name] = "not an image"
        except Exception as error:  # broken files make Pillow, zlib and zipfile raise many kinds
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk failed, not the image
            damaged[name] = str(error) or type(error).__name__
    return array[: len(rows) - len(damaged)], damaged


# --- the folder ---------------------------------------------------------------------------------------------------


def _packed_so_far(folder: Path, plan: _Plan) -> Summary | None:
    """How much of the plan the folder holds; `None` if it holds something else, or less than it says."""
    try:
        summary = Summary(**json.loads((folder / "summary.json").read_text(encoding="utf-8")))
        sizes = {split: (folder / f"{split}.npy").stat().st_size for split in SPLITS}
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return None
    whole = all(sizes[split] >= HEADER_BYTES + summary.counts[split] * ROW_BYTES for split in SPLITS)
    return summary if whole and summary.fingerprint == plan.fingerprint else None


def _open_array(folder: Path, split: str, rows: int) -> BinaryIO:
    """Opens an array to append to its first `rows`; what a killed run wrote after them is cut off."""
    path = folder / f"{split}.npy"
    path.touch()
    file = path.open("r+b")
    file.truncate(HEADER_BYTES + rows * ROW_BYTES)
    file.seek(0, os.SEEK_END)
    return file


def _write_summary(folder: Path, summary: Summary) -> None:
    new = folder / "summary.json.new"
    new.write_text(json.dumps(asdict(summary), indent=2) + "\n", encoding="utf-8")
    os.replace(new, folder / "summary.json")


def _write_table(path: Path, plan: _Plan, split: str, damaged: Container[str]) -> None:
    unknown = np.zeros(len(plan.columns), np.int8)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["name", *plan.columns])
        for name, _ in plan.rows[split]:
            if name not in damaged:
                table.writerow([name, *plan.attributes.get(name, unknown).tolist()])


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{folder} has {free / 1e6:,.0f} MB free, and {needed / 1e6:,.0f} MB are needed; "
            "make room or choose another folder"
        )


def _cores() -> int:
    """Cores that this process may use, up to 16: more threads would only wait for Python's lock, and take memory."""
    return min(16, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
