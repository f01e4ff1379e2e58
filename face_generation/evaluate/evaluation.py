"""Runs an evaluation, from a composed configuration to figures, a report and MLflow."""

import csv
import json
import os
import re
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from io import StringIO
from pathlib import Path

import mlflow
import numpy as np
from omegaconf import DictConfig, ListConfig

from face_generation.data.celeba import SPLITS
from face_generation.errors import UserError, printable
from face_generation.evaluate import candidates, sheets
from face_generation.evaluate.candidates import Candidate
from face_generation.evaluate.measurement import Measured, Yardstick
from face_generation.evaluate.report import table, write_report
from face_generation.evaluate.sheets import Sheet
from face_generation.export.card import write_card
from face_generation.files import scratch, writing
from face_generation.generator import Bundle
from face_generation.generator.generator import check_request
from face_generation.metrics import Estimate
from face_generation.metrics.registry import METRICS

CACHE = Path("outputs/embeddings")
DIGITS = 6  # significant digits that are written
QUANTILES = 101  # points of a curve of distances


def evaluate(config: DictConfig) -> None:
    """Measures the candidates and writes figures, sheets of faces and a report.

    The files are `metrics.json`, `figures.csv`, `nearest.csv`, `report.html` and the folder `sheets` in
    `config.output`. With `config.broken` it only records how many faces of a sheet are broken.

    Raises:
        UserError: Something in the configuration, a candidate or the data cannot be used.
    """
    check_request(config.samples, config.seed, config.truncation)
    reference = list(dict.fromkeys(_several(config.reference)))
    if not reference or not set(SPLITS).issuperset(reference):
        raise UserError(f"reference={config.reference}; give the splits to compare with: train, or val and test")
    if config.tracking_uri:
        mlflow.set_tracking_uri(config.tracking_uri)
    with scratch("evaluate") as temporary:
        found = candidates.find(_several(config.bundle), temporary, Path(config.splits).expanduser())
        if config.broken is not None:
            _record_broken(found, config)
            return
        if config.card:
            _check_bundles(found, "card=true")
        n = min([config.samples, *(len(candidate.files) for candidate in found if candidate.files)])
        output = Path(config.output or f"outputs/evaluate/{_name(found)}").expanduser()
        report = output / "report.html"
        _make(output)  # before the work, in case the folder cannot be made
        weights = Path(config.inception_weights).expanduser() if config.inception_weights else None
        splits = Path(config.splits).expanduser()
        yardstick = Yardstick(splits, reference, n, config.seed, config.truncation, weights, CACHE, temporary)
        drawn = [yardstick.draw(candidate) for candidate in found]  # first, because measuring may take hours
        drawn_sheets = {
            candidate.label: sheets.draw(candidate.generator, config.seed, config.truncation)
            for candidate in found
            if candidate.generator
        }
        _write_sheets(output, drawn_sheets)
        models = [yardstick.measure(*each) for each in zip(found, drawn, strict=True)]
        real = yardstick.real()
        _write_figures(output, [*models, real])
        command = shlex.join(["python", "-m", "face_generation.evaluate", *sys.argv[1:]])
        comparison = _comparison(yardstick, reference)
        write_report(report, models, real, drawn_sheets, yardstick, comparison, command)
        if config.card:
            _write_cards(models, real, comparison, command)
    columns = {column.label: column.figures for column in (*models, real)}
    print(table.as_text(table.rows(columns, real.label), list(columns)))
    for gap in table.gaps(columns):
        print(f"missing: {gap}")
    for model in models:
        _log(model, report)
    print(f"{report}: the report, with pictures and what each figure means")


def _several(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, ListConfig) else [str(value)]


def _name(found: Sequence[Candidate]) -> str:
    return "_vs_".join(_file_name(candidate.label) for candidate in found)


def _file_name(label: str) -> str:
    return re.sub(r"[^\w.-]", "-", label)


def _check_bundles(found: Sequence[Candidate], option: str) -> None:
    """Raises `UserError` unless every candidate is a bundle that can be written to."""
    for candidate in found:
        if candidate.bundle is None:
            raise UserError(
                f"{option} writes into bundles, by name or folder, and {candidate.source} is not one; export it first: "
                "python -m face_generation.export"
            )
        if not os.access(candidate.bundle.folder, os.W_OK):
            raise UserError(
                f"{option} cannot write to {candidate.bundle.folder}; copy the bundle, and evaluate the copy"
            )


def _record_broken(found: Sequence[Candidate], config: DictConfig) -> None:
    """Records how many faces of a sheet are broken, in the manifest and the card of the bundle."""
    if len(found) > 1:
        raise UserError("broken=… counts the faces of one bundle; give one at a time")
    _check_bundles(found, "broken=…")
    bundle = found[0].bundle
    assert bundle
    count = sheets.record(bundle, config.broken, config.seed, config.truncation)
    write_card(Bundle.load(bundle.folder))
    print(
        f"{bundle.name}: {count['broken']} of {count['of']} faces at truncation {count['truncation']:g} are broken, "
        f"{100 * count['low']:.1f} to {100 * count['high']:.1f} % of all; recorded in {bundle.folder}"
    )


def _write_sheets(output: Path, drawn_sheets: Mapping[str, Sequence[Sheet]]) -> None:
    for label, drawn in drawn_sheets.items():
        for sheet in drawn:
            sheet.write(output / "sheets" / f"{_file_name(label)}_truncation_{sheet.truncation:g}.jpg")


def _write_cards(models: Sequence[Measured], real: Measured, comparison: str, command: str) -> None:
    for model in models:
        assert model.candidate
        assert model.candidate.bundle
        bundle = Bundle.load(model.candidate.bundle.folder)  # somebody may have counted broken faces in the meantime
        evaluation = {
            "command": command,
            "comparison": comparison,
            "figures": _rounded(model),
            "real": _rounded(real),
        }
        counted = {"broken": bundle.evaluation["broken"]} if "broken" in bundle.evaluation else {}
        write_card(bundle.record(evaluation | counted))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {folder} ({error.strerror}); choose another output") from error


def _comparison(yardstick: Yardstick, reference: Sequence[str]) -> str:
    """Makes the first lines of the report, which say what is compared with what."""
    n, seed = yardstick.n, yardstick.seed
    real, held_out, test, train = (
        len(images.images) for images in (yardstick.reference, yardstick.held_out, yardstick.test, yardstick.train)
    )
    truncated = "" if yardstick.truncation == 1 else f" at truncation {yardstick.truncation:g}"
    return (
        f"{n:,} samples of each model (seeds {seed} to {seed + n - 1}{truncated}, or the first files of a folder) "
        f"beside {real:,} real faces (split: {' and '.join(reference)}). Reconstructions are of {test:,} test faces. "
        f"Copies are looked for among the {train:,} training faces of the splits, and compared with {held_out:,} faces "
        "that no model was trained on."
    )


def _write_figures(folder: Path, columns: Sequence[Measured]) -> None:
    """Writes the figures for `dvc metrics`, and as tables for `dvc plots`."""
    nested = {column.label: _flat(column) for column in columns}
    _write(folder / "metrics.json", json.dumps(nested, indent=2, ensure_ascii=False) + "\n")
    figures = [{"model": label, **values} for label, values in nested.items()]
    _write(folder / "figures.csv", _csv(["model", *METRICS], figures))
    shares = np.linspace(0, 1, QUANTILES)
    curves = {"share": shares.round(2)}
    for column in columns:
        if column.neighbours:
            curves[column.label] = np.quantile(column.neighbours.distances, shares).round(4)
    rows = (dict(zip(curves, row, strict=True)) for row in zip(*curves.values(), strict=True))
    _write(folder / "nearest.csv", _csv(list(curves), rows))


def _flat(column: Measured) -> dict[str, float]:
    values: dict[str, float] = {}
    for key, figure in _rounded(column).items():
        values |= {key: figure["value"], f"{key}_low": figure["low"], f"{key}_high": figure["high"]}
    return values


def _rounded(column: Measured) -> dict[str, dict[str, float]]:
    """The value, low and high of each figure, without gaps."""
    estimates = {key: column.figures.get(key) for key in METRICS}
    return {
        key: {name: float(f"{value:.{DIGITS}g}") for name, value in asdict(estimate).items()}
        for key, estimate in estimates.items()
        if isinstance(estimate, Estimate)
    }


def _csv(columns: Sequence[str], rows: Iterable[dict]) -> str:
    text = StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _write(path: Path, text: str) -> None:
    with writing(path) as file:
        file.write(text.encode())


def _log(model: Measured, report: Path) -> None:
    """Logs figures and report to the MLflow run that made the model. Warns if the server does not answer."""
    run = model.candidate.run if model.candidate else None
    if run is None:
        print(f"{model.label}: nothing is logged to MLflow, because no run is known to have made it")
        return
    figures = {key: estimate.value for key, estimate in model.figures.items() if isinstance(estimate, Estimate)}
    try:
        run.log_evaluation(figures, report)
    except UserError as error:
        print(printable(f"warning: {error}"), file=sys.stderr)  # a part of the message comes from a server
    else:
        print(f"{model.label}: figures and report are logged to MLflow run {run.id} at {run.store}")
