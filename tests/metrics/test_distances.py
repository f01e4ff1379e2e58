"""Blocks of distances."""

import numpy as np

from face_generation.metrics.distances import BLOCK_BYTES, distance_blocks


def test_blocks_are_small_and_make_up_the_whole() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2500, 4)), random.normal(size=(4000, 4))
    blocks = list(distance_blocks(a, b))
    distances = np.concatenate(blocks)

    assert len(blocks) > 1
    assert max(block.nbytes for block in blocks) <= BLOCK_BYTES
    assert distances.shape == (2500, 4000)
    for row in (0, 1999, 2000, 2499):
        np.testing.assert_allclose(distances[row], np.linalg.norm(b - a[row], axis=1), rtol=1e-9)


def test_equal_rows_are_exactly_0_apart() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 128)) + 1000
    [distances] = distance_blocks(rows, rows[::-1])

    assert (np.flipud(distances).diagonal() == 0).all()
    assert (distances == 0).sum() == 50
