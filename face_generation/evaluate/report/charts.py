"""Charts as numbers for an SVG in the page, so that they follow dark mode and stay sharp at any size."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

WIDTH, HEIGHT = 480, 160  # size of the drawing area, in SVG units
BINS = 30


@dataclass(frozen=True)
class Histogram:
    """Outlines of histograms over a common axis."""

    paths: dict[str, str]  # SVG paths by label
    ticks: list[tuple[float, str]]  # places on the axis, with their numbers
    mark: float  # place of the mark on the axis


def histogram(series: Mapping[str, ArrayLike], mark: float) -> Histogram:
    """Computes the histograms of several sets of values, with common bins of equal width.

    Args:
        series: Values by label.
        mark: Value to mark on the axis.
    """
    values = {label: np.asarray(numbers, dtype=np.float64) for label, numbers in series.items()}
    everything = np.concatenate(list(values.values()))
    edges = np.histogram_bin_edges(everything, BINS)
    shares = {label: np.histogram(numbers, edges)[0] / len(numbers) for label, numbers in values.items()}
    highest = max(share.max() for share in shares.values())
    low, high = edges[0], edges[-1]

    def place(value: float) -> float:
        return round(float((value - low) / (high - low) * WIDTH), 1)

    paths = {}
    for label, share in shares.items():
        heights = (HEIGHT * (1 - share / highest)).round(1)
        steps = [f"V{y}H{place(right)}" for y, right in zip(heights, edges[1:], strict=True)]
        paths[label] = f"M0 {HEIGHT}{''.join(steps)}V{HEIGHT}Z"
    numbers = [tick for tick in MaxNLocator(6).tick_values(low, high) if low <= tick <= high]
    ticks = [(place(tick), f"{tick:.6g}") for tick in numbers]
    return Histogram(paths, ticks, place(mark))
