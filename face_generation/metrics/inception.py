"""FID and KID: distances between samples and real images in the features of InceptionV3.

The network, its resizing of images and its weights are those of torch-fidelity, which reproduces the figures of the
original implementations. The features of a set are computed once, for both metrics and their intervals.
"""

import math
import pickle
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from face_generation.errors import UserError
from face_generation.hardware import device
from face_generation.metrics import INSTALL, Estimate, Features, Gap, Images, Metric, bootstrap
from face_generation.metrics.distances import BLOCK_BYTES
from face_generation.metrics.features import extract
from face_generation.metrics.frechet import frechet_distance
from face_generation.metrics.weights import fetching

NETWORK = "Inception-v3"
FID = Metric(
    "fid",
    "FID",
    "lower",
    "Fréchet Inception distance: the distance between Gaussians fitted to the Inception features of samples and "
    "of real images. It grows as fewer images are used, so compare it only at equal numbers.",
    "Heusel et al. 2017, GANs Trained by a Two Time-Scale Update Rule",
    judges=(NETWORK,),
)
KID = Metric(
    "kid",
    "KID ×1000",
    "lower",
    "Kernel Inception distance, times 1000: how much samples and real images differ in Inception features. 0 is no "
    "difference. Unlike FID, it does not depend on the number of images.",
    "Bińkowski et al. 2018, Demystifying MMD GANs",
    judges=(NETWORK,),
)
DIMENSIONS = 2048


def load(weights: Path | None = None) -> nn.Module:
    """Loads torch-fidelity's InceptionV3, onto the GPU if there is one.

    Args:
        weights: File of its weights. `None` fetches them on first use.

    Raises:
        Gap: torch-fidelity is missing, or the weights cannot be fetched.
        UserError: The file is missing, or does not hold these weights.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3
    except ImportError as error:
        raise Gap(f"needs torch-fidelity ({error}); {INSTALL}") from error

    def build() -> nn.Module:
        return FeatureExtractorInceptionV3("inception-v3-compat", [str(DIMENSIONS)], weights)

    # torch-fidelity would run code in a file and would not check what it fetches, so weights are read as data first.
    if weights is None:
        remedy = f"fetch {URL_INCEPTION_V3} elsewhere and give it as inception_weights=<file>"
        with fetching("the weights of Inception", remedy):
            torch.hub.load_state_dict_from_url(URL_INCEPTION_V3, map_location="cpu", check_hash=True, weights_only=True)
        network = build()
    else:
        try:
            torch.load(weights, map_location="cpu", weights_only=True)
            network = build()
        except OSError as error:
            raise UserError(f"inception_weights={weights} cannot be read ({error.strerror}); give a file") from error
        except (RuntimeError, pickle.UnpicklingError, EOFError, TypeError, AttributeError) as error:
            raise UserError(
                f"inception_weights={weights} does not hold the weights of Inception that torch-fidelity uses; "
                f"fetch {URL_INCEPTION_V3}"
            ) from error
    return network.to(device())


def features(images: Images, network: nn.Module) -> NDArray[np.float32]:
    """Images, uint8 N×H×W×3 → their features, float32 N×2048. Shows a progress bar."""
    return extract(images, lambda batch: network(batch)[0], DIMENSIONS, "Inception features")


def fid(samples: Features, real: Features, seed: int) -> Estimate:
    """Fréchet Inception distance (Heusel et al. 2017) of features N×2048 and M×2048; at least 0.

    Raises:
        Gap: There are too few images, or features that are not finite.
    """
    return bootstrap.set_distance(frechet_distance, samples, real, seed)


def kid(samples: Features, real: Features, seed: int) -> Estimate:
    """Kernel Inception distance (Bińkowski et al. 2018) of features N×2048 and M×2048, times 1000.

    It is estimated from all pairs, which is the limit of the usual mean over subsets. The estimate is unbiased, so it
    can be a little below 0.

    Raises:
        Gap: There are too few images, or features that are not finite.
    """
    samples, real = samples.astype(np.float64), real.astype(np.float64)
    return bootstrap.set_distance(
        lambda a, b: 1000 * _squared_mmd(a, b), samples, real, seed, bounds=(-math.inf, math.inf)
    )


def _squared_mmd(a: Features, b: Features) -> float:
    """The unbiased estimate of the squared maximum mean discrepancy, for the kernel (x·y / dimensions + 1)³."""

    def kernel(products: NDArray[np.floating]) -> NDArray[np.floating]:
        return (products / a.shape[1] + 1) ** 3

    def total(x: NDArray[np.floating], y: NDArray[np.floating]) -> float:
        """The sum of the kernel over all pairs, in bounded memory."""
        size = max(1, BLOCK_BYTES // (8 * len(y)))
        return sum(kernel(x[start : start + size] @ y.T).sum() for start in range(0, len(x), size))

    def between_others(x: NDArray[np.floating]) -> float:
        themselves = kernel(np.square(x).sum(axis=1)).sum()
        return (total(x, x) - themselves) / (len(x) * (len(x) - 1))

    return between_others(a) + between_others(b) - 2 * total(a, b) / (len(a) * len(b))
