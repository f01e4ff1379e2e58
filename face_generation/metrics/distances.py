"""Euclidean distances between all of one set and all of another, in bounded memory."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

BLOCK_BYTES = 64_000_000
ROUNDING = 1e-12  # of the squared norms; a squared distance below is nothing but rounding


def distance_blocks(a: NDArray[np.floating], b: NDArray[np.floating]) -> Iterator[NDArray[np.float64]]:
    """The N×M distances between the rows of `a` (N×D) and those of `b` (M×D), some rows at a time, in order. Equal rows
    are exactly 0 apart.

    Example:
        >>> a, b = np.array([[0.0, 0.0], [3.0, 0.0]]), np.array([[0.0, 4.0]])
        >>> np.concatenate(list(distance_blocks(a, b)))
        array([[4.],
               [5.]])
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    size = max(1, BLOCK_BYTES // (8 * len(b)))
    b_norms = np.square(b).sum(axis=1)
    for start in range(0, len(a), size):
        rows = a[start : start + size]
        norms = np.square(rows).sum(axis=1)[:, np.newaxis] + b_norms
        squared = norms - 2 * (rows @ b.T)
        squared[squared < ROUNDING * norms] = 0
        yield np.sqrt(squared)
