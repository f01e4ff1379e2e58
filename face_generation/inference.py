"""Draws faces with a trained bundle: one picture, a grid, or a folder of numbered files. See `--help`."""

import secrets
import shutil
import sys
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig
from tqdm import tqdm

from face_generation.entry import command
from face_generation.errors import UserError
from face_generation.generator import Generator, pictures
from face_generation.generator.generator import check_request
from face_generation.generator.parallel import parallel_map

RANDOM_SEEDS = 2**31  # a random seed is below, which leaves room for many faces after it


@command("inference")
def main(config: DictConfig) -> None:
    n, truncation = config.num_images, config.truncation
    seed = secrets.randbelow(RANDOM_SEEDS) if config.seed is None else config.seed
    check_request(n, seed, truncation)
    if not isinstance(config.grid, bool):
        raise UserError(f"grid must be true or false, not {config.grid!r}")
    one_picture = n == 1 or config.grid
    output, suffix = picture_target(config) if one_picture else folder_target(config)

    generator = Generator.load(config.bundle)
    stream = generator.stream(n, seed, truncation)
    with tqdm(stream, total=n, desc=str(output), unit="face", delay=0.5, disable=n == 1) as faces:
        if one_picture:
            write_picture(faces, n, output, suffix)
        else:
            write_folder(faces, n, seed, output, suffix)
    drawn, seeds = ("1 face", f"seed {seed}") if n == 1 else (f"{n} faces", f"seeds {seed} to {seed + n - 1}")
    print(f"{output}: {drawn}, {seeds}, bundle {generator.bundle.name}")


def picture_target(config: DictConfig) -> tuple[Path, str]:
    """The path and the format of one picture."""
    output = Path(str(config.output or "plots/gen_example")).expanduser()
    if output.is_dir():
        raise UserError(f"output={output} is a folder; name a file in it, such as {output / 'face.png'}")
    if not output.suffix:
        output = output.with_suffix(f".{config.format or 'png'}")
    suffix = known_format(output.suffix[1:].lower())
    if config.format and pictures.FORMATS[suffix] != pictures.FORMATS[known_format(config.format)]:
        raise UserError(f"output={output} and format={config.format} contradict each other; leave one of them away")
    if config.num_images > pictures.MAX_GRID:
        raise UserError(f"a grid holds {pictures.MAX_GRID} faces at most; leave grid=true away for a folder of files")
    return output, suffix


def folder_target(config: DictConfig) -> tuple[Path, str]:
    """The folder for many pictures, and their format."""
    output = Path(str(config.output or "plots/faces")).expanduser()
    if output.suffix[1:].lower() in pictures.FORMATS:
        raise UserError(f"output={output} is one picture, and many were asked for; give a folder, or grid=true")
    return output, known_format(config.format or "png")


def known_format(suffix: str) -> str:
    if suffix not in pictures.FORMATS:
        raise UserError(f"unknown picture format {suffix!r}; use one of {', '.join(pictures.FORMATS)}")
    return suffix


def write_picture(faces: Iterable[NDArray[np.uint8]], n: int, output: Path, suffix: str) -> None:
    with pictures.writing(output) as file:  # opened first, so that an unwritable place is found before the work
        file.write(pictures.encode(pictures.grid(faces, n), suffix))


def write_folder(faces: Iterable[NDArray[np.uint8]], n: int, seed: int, folder: Path, suffix: str) -> None:
    """Writes each face to a file named after its seed, so that a run that was stopped can go on."""

    def write(numbered: tuple[int, NDArray[np.uint8]]) -> None:
        number, face = numbered
        with pictures.writing(folder / f"{number:010}.{suffix}") as file:
            file.write(pictures.encode(face, suffix))

    faces = iter(faces)
    first = next(faces)
    check_space(folder, n * len(pictures.encode(first, suffix)))
    written = 0
    try:
        for _ in parallel_map(write, enumerate(chain([first], faces), start=seed)):
            written += 1
    except (UserError, KeyboardInterrupt) as error:
        if not written:
            raise
        state = f"{written} of {n} faces are written; go on with seed={seed + written} num_images={n - written}"
        if isinstance(error, UserError):
            raise UserError(f"{error}; {state}") from error
        tqdm.write(state, file=sys.stderr)
        raise


def check_space(folder: Path, size: int) -> None:
    """Raises `UserError` where the disk of `folder` has no room for `size` bytes."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if size > free:
        raise UserError(
            f"the faces need about {size / 1e6:,.1f} MB and {folder} has {free / 1e6:,.1f} MB free; "
            "ask for fewer, choose another output, or format=jpg"
        )


if __name__ == "__main__":
    main()
