"""The table of figures: a row for each metric and a column for each model, with real faces last."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from face_generation.metrics import Estimate, Gap, Metric
from face_generation.metrics.registry import METRICS

Figures = Mapping[str, Estimate | Gap]  # by the key of the metric
ARROWS = {"lower": "↓", "higher": "↑", "one": "→1"}


@dataclass(frozen=True)
class Cell:
    value: str
    interval: str
    best: bool = False  # whether it is the best of several models


@dataclass(frozen=True)
class Row:
    metric: Metric
    cells: list[Cell | None]  # one for each column; None if there is no value


def rows(columns: Mapping[str, Figures], real: str) -> list[Row]:
    """The rows of the metrics that at least one column has a value for. `real` names the column of real faces, which
    is not compared."""
    table = []
    for metric in METRICS.values():
        estimates = {label: figures.get(metric.key) for label, figures in columns.items()}
        models = [e for label, e in estimates.items() if isinstance(e, Estimate) and label != real]
        best = min((_distance_from_best(metric, e) for e in models), default=None) if len(models) > 1 else None
        cells = [
            _cell(e, label != real and _distance_from_best(metric, e) == best) if isinstance(e, Estimate) else None
            for label, e in estimates.items()
        ]
        if any(cells):
            table.append(Row(metric, cells))
    return table


def gaps(columns: Mapping[str, Figures]) -> list[str]:
    """Lines that say what is missing and what to do about it, one for each reason: `FID, KID (vae, real): …`."""
    missing = [
        (str(estimate), label, METRICS[key].title)
        for label, figures in columns.items()
        for key, estimate in figures.items()
        if isinstance(estimate, Gap)
    ]
    lines = []
    for reason in dict.fromkeys(reason for reason, _, _ in missing):
        labels = dict.fromkeys(label for r, label, _ in missing if r == reason)
        titles = dict.fromkeys(title for r, _, title in missing if r == reason)
        lines.append(f"{', '.join(titles)} ({', '.join(labels)}): {reason}")
    return lines


def as_text(table: Sequence[Row], labels: Sequence[str]) -> str:
    """The table in fixed width, for a terminal. The best of several models has a star."""
    lines = [["", *labels]]
    for row in table:
        cells = [f"{'*' if cell.best else ''}{cell.value} [{cell.interval}]" if cell else "–" for cell in row.cells]
        lines.append([f"{row.metric.title} {ARROWS[row.metric.better]}", *cells])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    )


def _distance_from_best(metric: Metric, estimate: Estimate) -> float:
    return {"lower": estimate.value, "higher": -estimate.value, "one": abs(estimate.value - 1)}[metric.better]


def _cell(estimate: Estimate, best: bool) -> Cell:
    """Formats a value with three significant digits, and its interval with as many decimals."""
    size = max(abs(estimate.value), estimate.high - estimate.low)
    decimals = min(4, max(0, 2 - math.floor(math.log10(size)))) if size else 2
    value, low, high = (f"{number:.{decimals}f}" for number in (estimate.value, estimate.low, estimate.high))
    return Cell(value, f"{low} to {high}" if "-" in low else f"{low}–{high}", best)
