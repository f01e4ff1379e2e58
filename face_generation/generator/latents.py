"""Interpolation between latents."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def slerp(start: NDArray[np.floating], end: NDArray[np.floating], t: ArrayLike) -> NDArray[np.float32]:
    """Spherical interpolation (Shoemake 1985) from the latent `start` (`t` = 0) to `end` (`t` = 1), each latent_dim
    long.

    The direction turns evenly, and the length changes evenly. A straight line passes closer to the origin than its
    ends, and a GAN, whose latents are normal vectors, draws pale faces there. An encoder's latents lie around a mean
    that is not 0. So the angle between them at the origin is smaller, and the way between them is straighter. It is a
    straight line if the ends are opposite or one has length 0.

    Returns:
        A latent for a number `t`, and T×latent_dim for an array of T numbers. The ends are exact.
    """
    a, b = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
    weight = np.asarray(t, dtype=np.float64)[..., None]
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    path = (1 - weight) * a + weight * b
    if min(lengths) > 0:
        a_unit, b_unit = a / lengths[0], b / lengths[1]
        angle = np.arccos(np.clip(a_unit @ b_unit, -1, 1))
        if 1e-4 < angle < np.pi - 1e-4:
            unit = (np.sin((1 - weight) * angle) * a_unit + np.sin(weight * angle) * b_unit) / np.sin(angle)
            path = ((1 - weight) * lengths[0] + weight * lengths[1]) * unit
    path = np.where(weight == 0, a, np.where(weight == 1, b, path))
    return path.astype(np.float32)
