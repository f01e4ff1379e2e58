"""How likely images are under a model that has a likelihood, in bits for each colour value."""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from face_generation.metrics import Estimate, Metric, bootstrap

BITS_PER_DIM = Metric(
    "bits_per_dim",
    "Bits per dimension",
    "lower",
    "Negative evidence lower bound on the test split, in bits for each colour value: at most how many it takes to "
    "store an image with this model.",
    "Kingma & Welling 2014, Auto-Encoding Variational Bayes",
    judges=("likelihood",),
)
BATCH = 32  # images
LEVELS_PER_UNIT = 127.5  # grey levels from 0 to 1, where images are floats in [-1, 1]


def bits_per_dim(negative_elbo: Callable[[Tensor], Tensor], images: NDArray[np.uint8], seed: int) -> Estimate:
    """Negative evidence lower bound in bits per dimension: an upper bound on the bits to store a colour value with.

    A density over real numbers can be made as high as one likes at whole ones. So uniform noise as wide as one grey
    level is added first (dequantisation, Theis et al. 2016), which makes this a bound for the bytes themselves.

    Args:
        negative_elbo: Images, float N×3×H×W in [-1, 1] → nats per image, N.
        images: N×H×W×3.

    Raises:
        Gap: There are fewer than 2 images, or a value is not finite.
    """
    dimensions = math.prod(images.shape[1:])
    random = np.random.default_rng(seed)
    nats = np.empty(len(images))
    with (
        tqdm(total=len(images), desc="Bits per dimension", unit="image", delay=1, leave=False) as bar,
        torch.inference_mode(),
        torch.random.fork_rng(),
    ):
        torch.manual_seed(seed)  # for the latents that a model draws
        for start in range(0, len(images), BATCH):
            levels = images[start : start + BATCH].transpose(0, 3, 1, 2)
            noise = random.random(levels.shape, dtype=np.float32) - 0.5
            batch = torch.from_numpy((levels + noise) / LEVELS_PER_UNIT - 1)
            nats[start : start + BATCH] = negative_elbo(batch).cpu().numpy()
            bar.update(len(batch))
    return bootstrap.mean(nats / (dimensions * math.log(2)) + math.log2(LEVELS_PER_UNIT), seed)
