"""The report of an evaluation: one HTML file, with pictures in it, that any browser shows offline."""

import shlex
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import NDArray
from PIL import Image

from face_generation import __version__
from face_generation.evaluate.measurement import Measured, Yardstick
from face_generation.evaluate.report import charts, exhibits, table
from face_generation.evaluate.sheets import Sheet
from face_generation.files import writing
from face_generation.generator import pictures
from face_generation.metrics import BETTER, Images
from face_generation.metrics.memorisation import RARE, Neighbours

SAMPLES = 64
PAIRS = 16  # pairs of a test face and its reconstruction
COLUMNS = 8
CLOSEST = 12  # pairs of an image and a training face
INTERPOLATIONS = 6  # rows of interpolations
LABELLED = 2000  # training faces that the mean faces of attributes are computed from
LEAST = 10  # fewest faces of a mean
QUALITY = 80  # WebP quality


def write_report(
    path: Path,
    models: Sequence[Measured],
    real: Measured,
    sheets: Mapping[str, Sequence[Sheet]],
    yardstick: Yardstick,
    comparison: str,
    command: str,
) -> None:
    """Writes the report on `models` to `path`.

    Args:
        real: Figures of real faces.
        sheets: Sheets of faces to look at, by the label of the model that drew them.
        comparison: Sentences that say what is compared with what.
        command: Command that makes the report again.

    Raises:
        UserError: The file cannot be written.
    """
    columns = {column.label: column.figures for column in (*models, real)}
    rows = table.rows(columns, real.label)
    page = {
        "version": __version__,
        "labels": [model.label for model in models],
        "real": real.label,
        "comparison": comparison,
        "command": command,
        "table": rows,
        "better": BETTER,
        "gaps": table.gaps(columns),
        "samples": [_samples(model, yardstick.seed) for model in models],
        "sheets": [sheet for model in models for sheet in _sheets(model, sheets.get(model.label, []), yardstick.seed)],
        "reconstructions": _reconstructions(models, yardstick.test.images),
        "memorisation": _memorisation(models, real, yardstick.train.images),
        "interpolations": _interpolations(models, yardstick.seed),
        "attributes": _attributes(models, yardstick),
    }
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("report.html.j2").render(page)
    with writing(path) as file:
        file.write(text.encode())


@dataclass(frozen=True)
class Picture:
    """A picture embedded in the page."""

    uri: str
    width: int  # pixels
    height: int


def _picture(image: NDArray[np.uint8]) -> Picture:
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "WEBP", quality=QUALITY)
    height, width, _ = image.shape
    return Picture(f"data:image/webp;base64,{b64encode(buffer.getvalue()).decode()}", width, height)


def _samples(model: Measured, seed: int) -> dict[str, Any]:
    shown = model.images[:SAMPLES]
    drawn = model.candidate and model.candidate.generator
    which = f"seeds {seed} to {seed + len(shown) - 1}" if drawn else f"the first {len(shown)} files"
    return {"label": model.label, "which": which, "picture": _picture(pictures.grid(shown, len(shown), COLUMNS))}


def _sheets(model: Measured, sheets: Sequence[Sheet], seed: int) -> list[dict[str, Any]]:
    """The sheets of a model. If it is a bundle, each has the command that records how many faces are broken."""
    source = model.candidate.source if model.candidate and model.candidate.bundle else None
    return [
        {
            "label": model.label,
            "truncation": f"{sheet.truncation:g}",
            "seed": sheet.seed,
            "picture": _picture(sheet.picture),
            "record": _recording(source, seed, sheet.truncation) if source else None,
        }
        for sheet in sheets
    ]


def _recording(source: str, seed: int, truncation: float) -> str:
    """The command that records how many faces of a sheet are broken."""
    options = {"bundle": source, "broken": "…", "seed": seed, "truncation": f"{truncation:g}"}
    usual = {"seed": 0, "truncation": "1"}
    given = [f"{name}={value}" for name, value in options.items() if usual.get(name) != value]
    return shlex.join(["python", "-m", "face_generation.evaluate", *given])


def _reconstructions(models: Sequence[Measured], originals: Images) -> list[dict[str, Any]]:
    """Rows of originals, with the models' reconstructions below each row."""
    found = []
    for model in models:
        if model.reconstructions is not None:
            rows = []
            for start in range(0, min(PAIRS, len(originals)), COLUMNS):
                row = slice(start, min(PAIRS, start + COLUMNS))
                for faces in (originals, model.reconstructions):
                    rows.append(pictures.grid(faces[row], len(faces[row]), COLUMNS))
            found.append({"label": model.label, "picture": _picture(pictures.grid(rows, len(rows), 1))})
    return found


def _memorisation(models: Sequence[Measured], real: Measured, training: Images) -> dict[str, Any] | None:
    """The closest pairs of an image and a training face, and the distances of all images."""
    known = real.neighbours
    if known is None:
        return None
    mark = float(np.quantile(known.distances, RARE))
    pairs, histograms = [], []
    for column in (*models, real):
        found = column.neighbours
        if found is None:
            continue
        pairs.append({"label": column.label, "pairs": _closest(column.images, training, found)})
        if column is not real:
            series = {column.label: found.distances, real.label: known.distances}
            histograms.append({"label": column.label, "histogram": charts.histogram(series, mark)})
    return {"pairs": pairs, "charts": histograms}


def _closest(images: Images, training: Images, found: Neighbours) -> list[dict[str, Any]]:
    return [
        {
            "picture": _picture(pictures.grid([images[i], training[found.indices[i]]], 2, 1)),
            "distance": found.distances[i],
        }
        for i in found.closest(CLOSEST)
    ]


def _interpolations(models: Sequence[Measured], seed: int) -> list[dict[str, Any]]:
    return [
        {"label": model.label, "picture": _picture(exhibits.interpolations(generator, INTERPOLATIONS, seed))}
        for model in models
        if model.candidate and (generator := model.candidate.generator)
    ]


def _attributes(models: Sequence[Measured], yardstick: Yardstick) -> dict[str, Any] | None:
    """Mean faces by attribute, of labelled training faces and of the models that have an encoder."""
    generators = {
        model.label: generator
        for model in models
        if model.candidate and (generator := model.candidate.generator) and generator.bundle.has_encoder
    }
    names, values = yardstick.attributes
    labelled = np.flatnonzero(values.any(axis=1))[:LABELLED]
    has = {name: values[labelled, column] == 1 for column, name in enumerate(names)}
    has = {name: faces for name, faces in has.items() if faces.sum() >= LEAST}
    if not generators or not has:
        return None
    means = exhibits.attribute_means(generators, yardstick.train.images[labelled], has)
    return {
        "labels": list(generators),
        "means": [
            {"name": name.replace("_", " "), "count": int(has[name].sum()), "picture": _picture(picture)}
            for name, picture in means.items()
        ],
    }
