"""Euclidean distances between all rows of two sets, in bounded memory."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

BLOCK_BYTES = 64_000_000
ROUNDING = 1e-12  # squared distances below this share of the squared norms are rounding errors


def distance_blocks(a: NDArray[np.floating], b: NDArray[np.floating]) -> Iterator[NDArray[np.float64]]:
    """Yields the N×M distances between rows of `a` (N×D) and of `b` (M×D), a block of rows at a time, in order. Equal
    rows have distance 0 exactly.

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
