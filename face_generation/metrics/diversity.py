"""Diversity: how much samples differ from each other, in their pixels and as faces."""

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure
from tqdm import tqdm

from face_generation.metrics import Estimate, Gap, Metric
from face_generation.metrics.bootstrap import check, mean, set_distance
from face_generation.metrics.distances import distance_blocks
from face_generation.metrics.recognition import RECOGNISER

MS_SSIM = Metric(
    "ms_ssim",
    "MS-SSIM between samples",
    "lower",
    "Mean multi-scale structural similarity of random pairs of samples. Lower is more diverse. If it is far above the "
    "value of real faces, the model keeps drawing the same picture.",
    "Odena et al. 2017, Conditional Image Synthesis with Auxiliary Classifier GANs",
    judges=("MS-SSIM",),
)
FACE_DIVERSITY = Metric(
    "face_diversity",
    "Diversity of faces",
    "one",
    "Mean distance between the face embeddings of pairs of samples, divided by that of pairs of real faces. If it is "
    "well below 1, all samples look like the same few people.",
    "",
    judges=(RECOGNISER,),
)

PAIRS = 1000
BATCH = 16  # pairs at a time, which take 100 MB
WINDOW = 11  # pixels
SIGMA = 1.5 / WINDOW  # as a share of the window


@torch.no_grad()
def ms_ssim(images: NDArray[np.uint8], seed: int, pairs: int = PAIRS) -> Estimate:
    """Mean multi-scale structural similarity of random pairs of images, in [0, 1]: lower is more diverse (Wang et al.
    2003; as a measure of diversity, Odena et al. 2017).

    No image is in two pairs, so pairs are independent, and the interval of their mean is valid.

    Args:
        images: Images N×S×S×3, with S at least 48.
        pairs: Largest number of pairs. There are N/2 if that is fewer.

    Raises:
        Gap: There are fewer than 4 images.
    """
    if len(images) < 4:
        raise Gap(f"this metric needs at least 4 images, and there are {len(images)}; give more")
    # 150 pixels are 9 after the four halvings of five scales, so the paper's window does not fit. It is shrunk to 9×9,
    # and σ with it, as Karras et al. 2018 do for images smaller than the window.
    smallest = images.shape[1] // 16
    window = min(WINDOW, smallest - 1 + smallest % 2)  # odd, so that it has a middle
    pairs = min(pairs, len(images) // 2)
    left, right = np.random.default_rng(seed).permutation(len(images))[: 2 * pairs].reshape(2, pairs)

    def batch(rows: NDArray[np.intp]) -> torch.Tensor:
        return torch.from_numpy(images[rows]).permute(0, 3, 1, 2).float()

    similarities = [
        multiscale_structural_similarity_index_measure(
            batch(left[start : start + BATCH]),
            batch(right[start : start + BATCH]),
            kernel_size=window,
            sigma=SIGMA * window,
            data_range=255.0,
            reduction="none",
        )
        for start in tqdm(range(0, pairs, BATCH), desc="MS-SSIM", unit="batch", delay=1, leave=False)
    ]
    return mean(torch.cat(similarities).numpy(), seed)


def face_diversity(embeddings: NDArray[np.floating], real: NDArray[np.floating], seed: int) -> Estimate:
    """Mean distance between pairs of `embeddings`, divided by that of pairs of `real` ones. At 1, samples are as
    diverse as real faces. Well below 1, they are few people, drawn again and again.

    Args:
        embeddings, real: Embeddings N×D and M×D.

    Raises:
        Gap: A set has fewer than 4 rows, or a value that is not finite, or the real ones are all the same.
    """
    check(real, least=4)
    if not np.ptp(real, axis=0).any():
        raise Gap("the real faces are all the same, so there is nothing to compare diversity with; look at them")
    return set_distance(lambda a, b: _mean_distance(a) / _mean_distance(b), embeddings, real, seed)


def _mean_distance(rows: NDArray[np.floating]) -> float:
    """The mean distance over all pairs of rows."""
    return sum(block.sum() for block in distance_blocks(rows, rows)) / (len(rows) * (len(rows) - 1))
