"""The ways between latents. Everything here is a pure function."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def slerp(start: NDArray[np.floating], end: NDArray[np.floating], t: ArrayLike) -> NDArray[np.float32]:
    """Spherical interpolation (Shoemake 1985): at `t` = 0 the latent `start`, at 1 `end`, each latent_dim numbers.

    The direction turns evenly, and the length goes evenly from the one to the other. A straight line passes closer to
    the origin than the ends lie: where latents are normal vectors, as a GAN's, faces are pale there. Those of an
    encoder lie around a mean that is not 0; the nearer they lie to each other as the origin sees them, the straighter
    is this way. Where there is no direction to turn to (opposite, or of length 0) it is a straight line.

    Returns:
        For a number `t` a latent, for T of them T×latent_dim. The ends are exact.
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
