"""The area under the ROC curve."""

import numpy as np
from numpy.typing import NDArray


def auc(positive: NDArray[np.floating], negative: NDArray[np.floating]) -> float:
    """The area under the ROC curve: the probability that a score of `positive` (N) is above one of `negative` (M).
    Equal scores count half.

    It takes a fraction of the time of scikit-learn's, and a bootstrap calls it a thousand times.

    Example:
        >>> auc(np.array([2.0, 1.0, -1.0]), np.array([0.5, -3.0]))
        0.8333333333333334
    """
    ordered = np.sort(negative)
    below, up_to = (np.searchsorted(ordered, positive, side) for side in ("left", "right"))
    return float(np.mean(below + up_to) / 2 / len(negative))
