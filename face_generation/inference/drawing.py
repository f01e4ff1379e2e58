"""Draws on the command line, from a configuration to picture files.

Each mode has a function. All of them choose where to write before they load a bundle, so that a mistake shows at once.
"""

import secrets
import sys
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from face_generation.data.annotations import read_attributes, write_attributes
from face_generation.data.celeba import ATTRIBUTE_FILE
from face_generation.errors import UserError, printable
from face_generation.files import require_space, writing
from face_generation.generator import Bundle, Generator, origin, pictures
from face_generation.generator.attributes import Asked
from face_generation.generator.bundle import shipped
from face_generation.generator.directions import Directions
from face_generation.generator.generator import check_request
from face_generation.generator.latents import slerp
from face_generation.generator.origin import Recipe
from face_generation.generator.parallel import parallel_map
from face_generation.generator.photos import read_photo

RANDOM_SEEDS = 2**31  # random seeds are below this, which leaves room for many faces after them
STRIP_FRAMES, ANIMATION_FRAMES = 9, 48
MAX_STRIP_FRAMES, MAX_ANIMATION_FRAMES = 100, 1000
MAX_SECONDS = 60
BEST_ATTRIBUTES, BEST_PRINCIPAL = 10, 4  # how many edits mode=edits shows by default
# Options that may be read from a picture. They are checked as if they were given on the command line.
OPTIONS = ("mode", "seed", "num_images", "truncation", "attributes", "edits", "grid", "to", "frames", "seconds", "rows")
SWEEP = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)  # strengths that mode=edits shows


def draw(config: DictConfig) -> None:
    """Draws what the configuration (`configs/inference.yaml`) asks for, and prints where it is and with which seed.

    Raises:
        UserError: The configuration, the bundle or the photo cannot be used, or the disk is full.
    """
    if config.same_as is not None:
        config = as_in_picture(config)
    if config.mode not in MODES:
        raise UserError(f"unknown mode {config.mode!r}; use one of {', '.join(MODES)}")
    for option, mode in (("to", "interpolate"), ("rows", "edits"), ("input", "reconstruct")):
        if config[option] is not None and config.mode != mode:
            raise UserError(f"{option}=… belongs to mode={mode}; add that, or leave it out")
    if config.attributes is not None and config.mode == "reconstruct":
        raise UserError("attributes=… is for new faces; leave it out, and change the face of the photo with edits=…")
    MODES[config.mode](config)


def sample(config: DictConfig) -> None:
    """Draws one face, a grid, or a folder of numbered files."""
    n, truncation = config.num_images, config.truncation
    seed, edits, attributes = chosen_seed(config), chosen_edits(config), chosen_attributes(config)
    check_request(n, seed, truncation)
    if not isinstance(config.grid, bool):
        raise UserError(f"grid must be true or false, not {config.grid!r}")
    one_picture = n == 1 or config.grid
    if one_picture and n > pictures.MAX_GRID:
        raise UserError(f"a grid holds {pictures.MAX_GRID} faces at most; leave grid=true out for a folder of files")
    output, suffix = picture_target(config, "plots/gen_example") if one_picture else folder_target(config)

    generator = Generator.load(config.bundle)
    stream = generator.stream(n, seed, truncation, edits, attributes)

    def label() -> None:
        if generator.attributes.names:
            write_table(generator, n, seed, truncation, attributes, output, suffix)

    with tqdm(stream, total=n, desc=str(output), unit="face", delay=0.5, disable=n == 1) as faces:
        if one_picture:
            write_picture(faces, n, output, suffix, recipe_of(generator, config, seed, num_images=n, grid=n > 1))
        else:
            write_folder(faces, n, seed, output, suffix, label, lambda seed: recipe_of(generator, config, seed))
    drawn, seeds = ("1 face", f"seed {seed}") if n == 1 else (f"{n} faces", f"seeds {seed} to {seed + n - 1}")
    print(f"{output}: {drawn}, {seeds}, bundle {generator.bundle.name}")


def interpolate(config: DictConfig) -> None:
    """Draws the way from one seed's face to another's, as a strip or as an animation that goes there and back."""
    seed, edits, attributes = chosen_seed(config), chosen_edits(config), chosen_attributes(config)
    if config.to is None:
        raise UserError("mode=interpolate ends at the seed that to=… names; give one")
    for end in (seed, config.to):
        check_request(1, end, config.truncation)
    output, suffix = picture_target(config, "plots/interpolation", pictures.FORMATS | pictures.ANIMATIONS)
    animated = suffix in pictures.ANIMATIONS
    usual, most = (ANIMATION_FRAMES, MAX_ANIMATION_FRAMES) if animated else (STRIP_FRAMES, MAX_STRIP_FRAMES)
    frames, seconds = usual if config.frames is None else config.frames, config.seconds
    if not isinstance(frames, int) or not 2 <= frames <= most:
        kind = "an animation" if animated else "a strip; a webp or gif may have more"
        raise UserError(f"frames must be a whole number from 2 to {most} for {kind}, not {frames!r}")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= MAX_SECONDS:
        raise UserError(f"seconds must be a number above 0, up to {MAX_SECONDS}, not {seconds!r}")

    generator = Generator.load(config.bundle)
    start, end = (generator.latents(1, s, config.truncation, edits, attributes)[0] for s in (seed, config.to))
    recipe = recipe_of(generator, config, seed, to=config.to, frames=frames, seconds=seconds)
    with writing(output) as file:
        images = list(generator.decode(slerp(start, end, np.linspace(0, 1, frames))))
        if animated:
            file.write(pictures.animate([*images, *images[-2:0:-1]], suffix, seconds / (frames - 1), recipe))
        else:
            file.write(pictures.encode(pictures.grid(images, frames, columns=frames), suffix, recipe))
    print(f"{output}: {frames} faces from seed {seed} to seed {config.to}, bundle {generator.bundle.name}")


def edit(config: DictConfig) -> None:
    """Draws what edits do to a face: a row for each, from strength -3 to 3."""
    seed, edits, attributes = chosen_seed(config), chosen_edits(config), chosen_attributes(config)
    check_request(1, seed, config.truncation)
    output, suffix = picture_target(config, "plots/edits")
    generator = Generator.load(config.bundle)
    if not generator.directions:
        raise UserError(f"the bundle {generator.bundle.name} has no directions; export it again with splits=…")
    names = chosen_rows(config, generator.directions)
    latent = generator.latents(1, seed, config.truncation, edits, attributes)[0]
    rows = [[generator.directions.move(latent, {name: strength}) for strength in SWEEP] for name in names]
    with writing(output) as file:
        faces = generator.decode(np.concatenate(rows))
        labels = [name.replace("_", " ") for name in names]
        sheet = pictures.grid(faces, len(faces), columns=len(SWEEP))
        sheet = pictures.labelled(sheet, labels, [f"{strength:+g}" for strength in SWEEP])
        file.write(pictures.encode(sheet, suffix, recipe_of(generator, config, seed, rows=names)))
    print(f"{output}: {len(names)} edits of seed {seed}, bundle {generator.bundle.name}")


def reconstruct(config: DictConfig) -> None:
    """Draws a photo beside its reconstruction, which may be edited."""
    edits = chosen_edits(config)
    if config.input is None:
        raise UserError("mode=reconstruct takes a photo of a face; give its path as input=…")
    if not isinstance(config.align, bool):
        raise UserError(f"align must be true or false, not {config.align!r}")
    output, suffix = picture_target(config, "plots/reconstruction")
    path = Path(str(config.input)).expanduser()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; give a photo as input=…") from error
    generator = Generator.load(config.bundle)
    photo = read_photo(data, generator.bundle.image_size, align=config.align)
    latents = generator.encode(photo[None])
    with writing(output) as file:
        face = generator.decode(generator.directions.move(latents, edits))[0]
        # It says nothing that could lead back to the photo.
        recipe = {"bundle": generator.bundle.name, "version": generator.bundle.version, "mode": config.mode}
        file.write(pictures.encode(pictures.grid([photo, face], 2, columns=2), suffix, recipe))
    print(f"{output}: {printable(path.name)}, and what bundle {generator.bundle.name} makes of it")


def recipe_of(generator: Generator, config: DictConfig, seed: int, **more: Any) -> Recipe:
    """The options that a picture is drawn with, to write into it."""
    bundle = generator.bundle
    return {
        "bundle": bundle.name,
        "version": bundle.version,
        "mode": config.mode,
        "seed": seed,
        "truncation": bundle.truncation if config.truncation is None else config.truncation,
        "attributes": dict(chosen_attributes(config)),
        "edits": dict(chosen_edits(config)),
        **more,
    }


def as_in_picture(config: DictConfig) -> DictConfig:
    """Replaces the options of the configuration by those that a picture says it was drawn with.

    Raises:
        UserError: The picture cannot be read, does not say its options, was drawn by another bundle, or was drawn in a
            way that only the service has.
    """
    path = Path(str(config.same_as)).expanduser()
    try:
        recipe = origin.read(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; give a picture as same_as=…") from error
    if recipe is None or not {"bundle", "version", "mode", "seed"} <= recipe.keys():
        raise UserError(f"{path} does not say which seed it is of; give its seed as seed=…, if you know it")
    if "toward" in recipe:
        raise UserError(f"{path} is on the way from one seed to another, which the service draws: see docs/service.md")
    bundle = config.bundle
    if recipe["bundle"] in shipped() and Bundle.load(recipe["bundle"]).version == recipe["version"]:
        bundle = recipe["bundle"]
    elif Bundle.load(bundle).version != recipe["version"]:
        drawn_by = f"bundle {recipe['bundle']}, version {recipe['version']}"
        raise UserError(f"{path} was drawn by {drawn_by}, and {bundle} is another one; give the right one as bundle=…")
    options = {name: value for name, value in recipe.items() if name in OPTIONS}
    return OmegaConf.merge(config, options, {"bundle": bundle, "same_as": None})  # type: ignore[return-value]


MODES: dict[str, Callable[[DictConfig], None]] = {
    "sample": sample,
    "interpolate": interpolate,
    "edits": edit,
    "reconstruct": reconstruct,
}


def chosen_seed(config: DictConfig) -> int:
    """The seed that was given, or a random one."""
    return secrets.randbelow(RANDOM_SEEDS) if config.seed is None else config.seed


def chosen_rows(config: DictConfig, directions: Directions) -> list[str]:
    """The names of the edits to show. Raises `UserError` if they are no list."""
    if config.rows is None:  # directions are sorted by how well they work
        best = [*directions.attributes[:BEST_ATTRIBUTES], *directions.principal[:BEST_PRINCIPAL]]
        return [direction.name for direction in best]
    if not OmegaConf.is_list(config.rows) or not config.rows:
        raise UserError(f"rows are a list of names, such as [smiling, male], not {config.rows!r}")
    return [str(name) for name in config.rows]


def chosen_attributes(config: DictConfig) -> Asked:
    """The attributes to ask for. Raises `UserError` if they are not given by name."""
    if config.attributes is None:
        return {}
    if not OmegaConf.is_dict(config.attributes):
        example = "'attributes={smiling: 1, male: -1}'"
        raise UserError(f"attributes are asked for by name, such as {example}, not {config.attributes!r}")
    return {str(name): value for name, value in config.attributes.items()}


def chosen_edits(config: DictConfig) -> Mapping[str, float]:
    """The strengths of edits. Raises `UserError` if they are not given by name."""
    if config.edits is None:
        return {}
    if not OmegaConf.is_dict(config.edits):
        raise UserError(f"edits are strengths by name, such as 'edits={{smiling: 1.5}}', not {config.edits!r}")
    return {str(name): strength for name, strength in config.edits.items()}


def picture_target(
    config: DictConfig, default: str, formats: Mapping[str, object] = pictures.FORMATS
) -> tuple[Path, str]:
    """The path and the format of one picture. `default` is a path without suffix."""
    output = Path(str(config.output or default)).expanduser()
    if output.is_dir():
        raise UserError(f"output={output} is a folder; name a file in it, such as {output / 'face.png'}")
    if not output.suffix:
        output = output.with_suffix(f".{config.format or 'png'}")
    suffix = known_format(output.suffix[1:].lower(), formats)
    if config.format and formats[suffix] != formats[known_format(config.format, formats)]:
        raise UserError(f"output={output} and format={config.format} contradict each other; leave one of them out")
    return output, suffix


def folder_target(config: DictConfig) -> tuple[Path, str]:
    """The folder of many pictures, and their format."""
    output = Path(str(config.output or "plots/faces")).expanduser()
    if output.suffix[1:].lower() in pictures.FORMATS:
        raise UserError(f"output={output} is one picture, and many were asked for; give a folder, or grid=true")
    return output, known_format(config.format or "png")


def known_format(suffix: str, formats: Mapping[str, object] = pictures.FORMATS) -> str:
    if suffix not in formats:
        raise UserError(f"unknown picture format {suffix!r}; use one of {', '.join(formats)}")
    return suffix


def write_picture(faces: Iterable[NDArray[np.uint8]], n: int, output: Path, suffix: str, recipe: Recipe) -> None:
    with writing(output) as file:  # opened first, so that a place that cannot be written is found before the work
        file.write(pictures.encode(pictures.grid(faces, n), suffix, recipe))


def write_folder(
    faces: Iterable[NDArray[np.uint8]],
    n: int,
    seed: int,
    folder: Path,
    suffix: str,
    label: Callable[[], None],
    recipe: Callable[[int], Recipe],
) -> None:
    """Writes each face to a file named after its seed, so that a run that was stopped can go on.

    Args:
        label: Called before the first face, once the disk is known to have room.
        recipe: Returns the recipe of a seed.
    """

    def write(numbered: tuple[int, NDArray[np.uint8]]) -> None:
        number, face = numbered
        with writing(folder / face_file(number, suffix)) as file:
            file.write(pictures.encode(face, suffix, recipe(number)))

    faces = iter(faces)
    first = next(faces)
    size = n * len(pictures.encode(first, suffix, recipe(seed)))
    require_space(folder, size, "the faces need about", "ask for fewer, choose another output, or format=jpg")
    label()
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


def write_table(
    generator: Generator, n: int, seed: int, truncation: float | None, attributes: Asked, folder: Path, suffix: str
) -> None:
    """Writes a table, in CelebA's form, of what each face of a folder was asked to have. It keeps the rows of an
    earlier table there.

    The table is written before the faces, so that every face has its row, whenever a run stops.
    """
    path = folder / ATTRIBUTE_FILE
    names = generator.attributes.names
    rows: dict[str, NDArray[np.int8]] = {}
    if path.exists():
        columns, rows = read_attributes(str(path), path.read_bytes())
        if columns != tuple(names):
            raise UserError(f"{path} is of another bundle, with other attributes; choose another folder as output=…")
    for number in tqdm(range(seed, seed + n), desc=str(path), unit="row", delay=0.5):
        rows[face_file(number, suffix)] = generator.said(1, number, truncation, attributes)[0]
    write_attributes(path, names, rows)


def face_file(seed: int, suffix: str) -> str:
    """The name of a face's file in a folder of many."""
    return f"{seed:010}.{suffix}"
