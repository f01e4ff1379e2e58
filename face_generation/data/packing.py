"""Packs images into one memory-mapped array for each split: `train.npy`, `val.npy` and `test.npy`, uint8 RGB N×S×S×3.

Beside each array is a table of the same rows (`train.csv`, …): the image's name and its attributes, 1, -1, or 0 if
unknown. `summary.json` says what was packed and what was left out. Images are read from inside the archive, one chunk
at a time, so memory stays small. Rows are only appended, so a run that was killed continues where it stopped.
"""

import csv
import errno
import os
import shutil
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from PIL import UnidentifiedImageError
from tqdm import tqdm

from face_generation.data import celeba
from face_generation.data.celeba import SPLITS
from face_generation.data.locking import alone
from face_generation.data.sources import File, Source
from face_generation.data.splitting import Plan, plan
from face_generation.data.summary import Summary, checksum
from face_generation.errors import UserError
from face_generation.files import require_space
from face_generation.generator import parts
from face_generation.generator.parallel import cores
from face_generation.generator.photos import TooLarge, aligned_faces, centred_square, open_photo

IMAGE_SIZE = 150  # pixels, both sides; the default
SIZES = range(32, 513, 2)
CHUNK_BYTES = 4_320_000  # size of the chunk of rows that a thread makes: 64 rows at 150×150
MAX_FILE_BYTES = 100_000_000  # a larger image file is left out
OUR_TROUBLE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC})  # errors that no image causes

_Decoded = tuple[np.ndarray, dict[str, int], dict[str, str]]  # see `_decode`


def pack(
    source: Path,
    destination: Path,
    *,
    size: int = IMAGE_SIZE,
    seed: int = 0,
    val: float = 0.1,
    test: float = 0.1,
    description: str | None = None,
    licence: str | None = None,
    align: Literal["largest", "all"] | None = None,
    threads: int | None = None,
) -> tuple[Summary, bool]:
    """Packs `source` into the folder `destination`, which appears when it is complete.

    Args:
        source: A folder with CelebA's files in any layout, an archive, or a folder of photos with any subfolders. A
            table of the split and a table of attributes are used if they are in it or beside it.
        destination: The folder to make. Until it is complete, the work is in `<destination>.partial` beside it.
        size: Pixels, both sides: an even number from 32 to 512.
        seed: Seed of the random split. Only images that nothing else splits are split at random.
        val: Share of images that a random split gives to validation, from 0 to 1.
        test: Share of images that a random split gives to testing, from 0 to 1.
        description: What the images are. `None` means CelebA's description if they are CelebA's, and else "unknown".
        licence: On which terms they may be used. `None` means CelebA's terms, or "unknown".
        align: Which faces of each image are cut out and aligned like CelebA's. `None` takes the square in the middle.
        threads: How many threads decode images. `None` means one for each core, up to 16.

    Returns:
        The summary, and whether anything was packed: `False` if `destination` already holds the same splits.

    Raises:
        UserError: The source or its tables cannot be used, `destination` holds something else, or the disk is full.
    """
    if threads is not None and threads < 1:
        raise UserError(f"{threads} threads are not possible; give 1 or more, or leave the option out")
    if size not in SIZES:
        raise UserError(f"size {size} is not possible; give an even number from {SIZES[0]} to {SIZES[-1]}")
    try:
        # `..` after a link means another folder. A destination may be a link to another disk.
        source = source.resolve() if ".." in source.parts else source.absolute()
        destination = destination.resolve()
        if not destination.name:
            raise UserError(f"{destination} holds something else; choose another folder")
        found = Source(source, scratch=_nearest_folder(destination))
        planned = plan(found, size, seed=seed, val=val, test=test)
        about = Summary(
            source=source.name if source.is_dir() else source.stem,
            split_by=planned.split_by,
            image_size=size,
            counts=dict.fromkeys(SPLITS, 0),
            damaged={},
            fingerprint=planned.fingerprint + (f" align={align}" if align else ""),
            attributes_from=planned.attributes_from,
            description=description or (celeba.DESCRIPTION if planned.is_celeba else "unknown"),
            licence=licence or (celeba.LICENCE if planned.is_celeba else "unknown"),
            passed_over=found.passed_over,
            checksums={f"{split}.npy": f"{0:08x}" for split in SPLITS},
        )
        with alone(destination):
            if summary := _packed_so_far(destination, about):
                if description or licence:  # may change without packing the images again
                    summary.description, summary.licence = about.description, about.licence
                    summary.write(destination)
                return summary, False
            if destination.is_dir() and not any(destination.iterdir()):
                destination.rmdir()
            if destination.exists():
                raise UserError(f"{destination} holds something else; remove it or choose another folder")
            return _pack(found, planned, about, destination, align, threads or _cores()), True
    except OSError as error:
        raise UserError(
            f"{error.filename or destination}: {error.strerror or error}; put that right and run the same command "
            "again (it goes on where it stopped)"
        ) from error


def _pack(source: Source, plan: Plan, summary: Summary, destination: Path, align: str | None, threads: int) -> Summary:
    # The folder has a fixed name, unlike that of files.replacing, so that an interrupted packing is continued.
    work = destination.with_name(destination.name + ".partial")
    if begun := _packed_so_far(work, summary):
        keep = ("counts", "damaged", "faceless", "several", "checksums")
        summary = replace(summary, **{name: getattr(begun, name) for name in keep})
    finished = summary.images
    total = sum(map(len, plan.rows.values()))
    if work.exists() and not finished:
        shutil.rmtree(work)
    require_space(destination.parent, (total - finished) * summary.row_bytes, "the splits need")
    work.mkdir(exist_ok=True)

    count = max(1, CHUNK_BYTES // summary.row_bytes)
    chunks = [(split, rows[i : i + count]) for split, rows in plan.rows.items() for i in range(0, len(rows), count)]
    ends = accumulate(len(rows) for _, rows in chunks)
    chunks = [chunk for chunk, end in zip(chunks, ends, strict=True) if end > finished]
    with ExitStack() as stack:
        files = {split: stack.enter_context(_open_array(work, split, summary)) for split in SPLITS}
        bar = stack.enter_context(tqdm(desc="packing", unit=" images", total=total, initial=finished))
        pool = stack.enter_context(ThreadPoolExecutor(threads))  # Pillow and zlib let other threads run
        decoded = _decoded(pool, source, summary.image_size, align, chunks, threads + 2)
        for (split, rows), (array, faces, damaged) in zip(chunks, decoded, strict=True):
            files[split].write(array.data)
            files[split].flush()
            so_far = int(summary.checksums[f"{split}.npy"], 16)
            summary.checksums[f"{split}.npy"] = f"{zlib.crc32(array.data, so_far):08x}"
            summary.counts[split] += len(array)
            summary.damaged.update(damaged)
            summary.faceless += [name for name, count in faces.items() if count == 0]
            summary.several.update({name: count for name, count in faces.items() if count > 1})
            summary.write(work)
            bar.update(len(rows))
        for split, file in files.items():
            file.seek(0)
            shape = (summary.counts[split], summary.image_size, summary.image_size, 3)
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            file.flush()
            os.fsync(file.fileno())
    if not any(summary.counts.values()):
        if summary.faceless:
            raise UserError(f"no face was found in any of the {total} images; leave out --align to pack their middles")
        name, reason = next(iter(summary.damaged.items()))
        raise UserError(f"none of the {total} images can be read ({name}: {reason}); get them again")
    for split in SPLITS:
        table = work / f"{split}.csv"
        _write_table(table, plan, split, summary)
        summary.checksums[table.name] = checksum(table)
    summary.damaged |= source.unreadable
    summary.write(work)
    os.replace(work, destination)
    return summary


def _decoded(
    pool: ThreadPoolExecutor,
    source: Source,
    size: int,
    align: str | None,
    chunks: Sequence[tuple[str, list[tuple[str, File]]]],
    ahead: int,
) -> Iterator[_Decoded]:
    """Decodes each chunk, and yields the results in order, with at most `ahead` chunks in memory."""
    pending: deque[Future[_Decoded]] = deque()
    for _, rows in chunks:
        if len(pending) == ahead:
            yield pending.popleft().result()
        pending.append(pool.submit(_decode, source, size, align, rows))
    while pending:
        yield pending.popleft().result()


def _decode(source: Source, size: int, align: str | None, rows: Sequence[tuple[str, File]]) -> _Decoded:
    """Decodes the images of some rows.

    Returns:
        The squares uint8 M×S×S×3, how many of them each image gave, and why each other image cannot be read.
    """
    squares: list[np.ndarray] = []
    faces: dict[str, int] = {}
    damaged: dict[str, str] = {}
    for name, file in rows:
        try:
            with file.open() as content:
                data = content.read(MAX_FILE_BYTES + 1)
            if len(data) > MAX_FILE_BYTES:
                raise ValueError(f"larger than {MAX_FILE_BYTES:,} bytes")
            parts.check(data)
            with open_photo(BytesIO(data)) as image:
                cut = aligned_faces(image, size, every=align == "all") if align else [centred_square(image, size)]
            squares += cut
            faces[name] = len(cut)
        except UnidentifiedImageError:
            damaged[name] = "not an image"
        except TooLarge as error:
            damaged[name] = f"too large: {error}"
        except Exception as error:  # broken files make Pillow, zlib and zipfile raise many kinds
            if isinstance(error, OSError) and (error.errno in OUR_TROUBLE or not source.path.exists()):
                raise
            reason = error.strerror if isinstance(error, OSError) else None
            damaged[name] = reason or str(error) or type(error).__name__
    return np.array(squares, np.uint8).reshape(-1, size, size, 3), faces, damaged


# --- the folder ---------------------------------------------------------------------------------------------------


def _packed_so_far(folder: Path, about: Summary) -> Summary | None:
    """The summary of what the folder already holds of these splits.

    `None` if the folder holds something else, or if its arrays are shorter than its summary says.
    """
    try:
        summary = Summary.read(folder)
        if summary is None or summary.fingerprint != about.fingerprint:
            return None
        whole = all((folder / f"{split}.npy").stat().st_size >= summary.array_bytes(split) for split in SPLITS)
    except (FileNotFoundError, UserError):
        return None
    return summary if whole else None


def _open_array(folder: Path, split: str, summary: Summary) -> BinaryIO:
    """Opens an array to append rows. Rows that a killed run wrote, but did not record in the summary, are cut off."""
    path = folder / f"{split}.npy"
    path.touch()
    file = path.open("r+b")
    file.truncate(summary.array_bytes(split))
    file.seek(0, os.SEEK_END)
    return file


def _nearest_folder(path: Path) -> Path:
    return next(parent for parent in path.parents if parent.is_dir())


def _write_table(path: Path, plan: Plan, split: str, summary: Summary) -> None:
    left_out = summary.damaged.keys() | set(summary.faceless)
    unknown = np.zeros(len(plan.columns), np.int8)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["name", *plan.columns])
        for name, _ in plan.rows[split]:
            if name in left_out:
                continue
            values = plan.attributes.get(name, unknown).tolist()
            for number in range(summary.several.get(name, 1)):
                table.writerow([f"{name}#{number + 1}" if number else name, *values])


def _cores() -> int:
    """Cores that this process may use, up to 16, because more threads would wait for Python's lock and take memory."""
    return min(16, cores())
