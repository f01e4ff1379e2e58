"""Compares reconstructions with their originals, image by image, and averages over images."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity
from tqdm import tqdm

from face_generation.hardware import device
from face_generation.metrics import Estimate, Images, Metric, bootstrap
from face_generation.metrics.recognition import RECOGNISER
from face_generation.metrics.weights import fetching

PSNR = Metric(
    "psnr",
    "PSNR, dB",
    "higher",
    "Peak signal-to-noise ratio of reconstructions of test faces, in decibels, averaged over images.",
    "",
    judges=("pixels",),
)
SSIM = Metric(
    "ssim",
    "SSIM",
    "higher",
    "Structural similarity of reconstructions to their originals. 1 is identical.",
    "Wang et al. 2004, Image Quality Assessment: From Error Visibility to Structural Similarity",
    judges=("SSIM",),
)
LPIPS = Metric(
    "lpips",
    "LPIPS",
    "lower",
    "Distance between reconstructions and originals in the features of an image classifier, which agree with people "
    "better than pixels do. 0 is identical.",
    "Zhang et al. 2018, The Unreasonable Effectiveness of Deep Features as a Perceptual Metric",
    judges=("AlexNet",),
)
FACE_DISTANCE = Metric(
    "face_distance",
    "Face distance",
    "lower",
    "Distance between the face embeddings of a reconstruction and its original. Below about 0.6, the recogniser takes "
    "them for the same person.",
    "King 2017, High Quality Face Recognition with Deep Metric Learning",
    judges=(RECOGNISER,),
)
METRICS = (PSNR, SSIM, LPIPS, FACE_DISTANCE)
BATCH = 32  # images


def psnr(originals: Images, reconstructions: Images, seed: int) -> Estimate:
    """Mean peak signal-to-noise ratio in dB of images, uint8 N×H×W×3.

    Raises:
        Gap: There are fewer than 2 images, or a reconstruction is its original, which makes the ratio infinite.
    """

    def measure(a: Tensor, b: Tensor) -> Tensor:
        return peak_signal_noise_ratio(b, a, data_range=1.0, reduction="none", dim=(1, 2, 3))

    return bootstrap.mean(_each(measure, originals, reconstructions, "PSNR"), seed)


def ssim(originals: Images, reconstructions: Images, seed: int) -> Estimate:
    """Mean structural similarity (Wang et al. 2004) of images, uint8 N×H×W×3; at most 1.

    Raises:
        Gap: There are fewer than 2 images.
    """

    def measure(a: Tensor, b: Tensor) -> Tensor:
        return structural_similarity_index_measure(b, a, data_range=1.0, reduction="none")  # type: ignore[return-value]

    return bootstrap.mean(_each(measure, originals, reconstructions, "SSIM"), seed)


def lpips(originals: Images, reconstructions: Images, seed: int) -> Estimate:
    """Mean learned perceptual distance (Zhang et al. 2018), by AlexNet, of images, uint8 N×H×W×3; at least 0.

    Raises:
        Gap: There are fewer than 2 images, or AlexNet's weights cannot be fetched.
    """
    folder = f"{torch.hub.get_dir()}/checkpoints"
    remedy = f"put https://download.pytorch.org/models/alexnet-owt-7be5be79.pth into {folder}"
    with fetching("the weights of AlexNet", remedy):
        network = LearnedPerceptualImagePatchSimilarity("alex").net
    network = network.to(device())

    def measure(a: Tensor, b: Tensor) -> Tensor:
        return network(b, a, normalize=True).flatten()  # `normalize`: images are in [0, 1]

    return bootstrap.mean(_each(measure, originals, reconstructions, "LPIPS"), seed)


def face_distance(originals: NDArray[np.float32], reconstructions: NDArray[np.float32], seed: int) -> Estimate:
    """Mean Euclidean distance between face embeddings of originals and reconstructions, each N×D; at least 0.

    Raises:
        Gap: There are fewer than 2 images, or embeddings that are not finite.
    """
    return bootstrap.mean(np.linalg.norm(reconstructions - originals, axis=1), seed)


def _each(measure: Callable[[Tensor, Tensor], Tensor], a: Images, b: Images, title: str) -> NDArray[np.float64]:
    """Calls `measure` with batches of images as floats N×3×H×W in [0, 1], and returns a value for each image."""
    values = np.empty(len(a))
    with tqdm(total=len(a), desc=title, unit="image", delay=1) as bar, torch.inference_mode():
        for start in range(0, len(a), BATCH):
            rows = slice(start, start + BATCH)
            values[rows] = measure(_to_float(a[rows]), _to_float(b[rows])).cpu().numpy()
            bar.update(len(values[rows]))
    return values


def _to_float(images: Images) -> Tensor:
    return torch.from_numpy(np.array(images)).to(device()).permute(0, 3, 1, 2).float() / 255
