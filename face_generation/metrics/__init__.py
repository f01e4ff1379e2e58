"""How good the faces are: every metric with what it means, and the two things that measuring one can give.

One module for each idea. They take images, uint8 N×H×W×3, or features, N×D, and give an `Estimate` or raise `Gap`.
"""

from dataclasses import dataclass
from typing import Literal

# The remedy where a package that only metrics need is missing: the extra `evaluate`, by its packages.
INSTALL = "pip install dlib-bin face_recognition_models torch-fidelity"


class Gap(Exception):
    """A metric that cannot be had here: why, and what to do about it, in one sentence. Never a wrong number."""


@dataclass(frozen=True)
class Estimate:
    """A metric's value and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Metric:
    """What there is to know about a metric before it is measured."""

    key: str
    title: str
    better: Literal["lower", "higher", "one"]  # which values are better; "one": those near 1
    meaning: str
    paper: str  # where it comes from; empty where it is plain arithmetic


BETTER = {"lower": "lower is better", "higher": "higher is better", "one": "near 1 is best"}
_METRICS = [
    Metric(
        "fid",
        "FID",
        "lower",
        "Fréchet Inception distance: how far apart two Gaussians are, fitted to the Inception features of samples and "
        "of real images. It grows as fewer images are used, so compare only with the floor, and at equal numbers.",
        "Heusel et al. 2017, GANs Trained by a Two Time-Scale Update Rule",
    ),
    Metric(
        "kid",
        "KID ×1000",
        "lower",
        "Kernel Inception distance: how differently samples and real images lie in the space of Inception features, "
        "times 1000. Unlike FID it does not depend on how many images are used; 0 is no difference.",
        "Bińkowski et al. 2018, Demystifying MMD GANs",
    ),
    Metric(
        "face_frechet",
        "Fréchet distance of faces",
        "lower",
        "As FID, over the embeddings of a face recogniser instead of Inception's features: whether the samples are "
        "as varied a crowd of people as the real faces, and the same crowd.",
        "Heusel et al. 2017; features of King 2017, High Quality Face Recognition with Deep Metric Learning",
    ),
    Metric(
        "precision",
        "Precision",
        "higher",
        "Share of samples that lie among the real faces, nearer to one than its third nearest real neighbour is: "
        "realism.",
        "Kynkäänniemi et al. 2019, Improved Precision and Recall Metric for Assessing Generative Models",
    ),
    Metric(
        "recall",
        "Recall",
        "higher",
        "Share of real faces that lie among the samples, by the same measure: coverage of the variety of real faces.",
        "Kynkäänniemi et al. 2019, Improved Precision and Recall Metric for Assessing Generative Models",
    ),
    Metric(
        "swd",
        "SWD ×1000",
        "lower",
        "Sliced Wasserstein distance between small patches of samples and of real faces, times 1000: the mean of the "
        "four scales below. It sees texture and colour, not whether the parts make a face.",
        "Karras et al. 2018, Progressive Growing of GANs",
    ),
    *(
        Metric(
            f"swd_{size}",
            f"SWD ×1000, {size}×{size}",
            "lower",
            f"The same for {scale} alone.",
            "Karras et al. 2018, Progressive Growing of GANs",
        )
        for size, scale in (
            (150, "the finest details, such as hair and skin,"),
            (75, "fine details"),
            (38, "coarse details"),
            (19, "the coarsest scale, the layout and colours,"),
        )
    ),
    Metric(
        "detection_rate",
        "Faces detected",
        "higher",
        "Share of images in which a face detector finds a face.",
        "Dalal & Triggs 2005, Histograms of Oriented Gradients for Human Detection",
    ),
    Metric(
        "sharpness",
        "Sharpness",
        "one",
        "Energy of the images' Laplacian over that of real faces: below 1 is blurred, above 1 noisy or too crisp.",
        "Pech-Pacheco et al. 2000, Diatom Autofocusing in Brightfield Microscopy",
    ),
    Metric(
        "grid_artefact",
        "Grid artefact, dB",
        "lower",
        "How far the highest peak of a grid with a period of 8 pixels or fewer stands out in the spectrum of the "
        "samples, beyond what it does in that of real faces: about 0 is no grid.",
        "Durall et al. 2020, Watch Your Up-Convolution",
    ),
    Metric(
        "ms_ssim",
        "MS-SSIM between samples",
        "lower",
        "Mean multi-scale structural similarity of random pairs of samples: lower is more diverse. Far above the "
        "value of real faces, the model keeps drawing the same picture.",
        "Odena et al. 2017, Conditional Image Synthesis with Auxiliary Classifier GANs",
    ),
    Metric(
        "face_diversity",
        "Diversity of faces",
        "one",
        "Mean distance between the face embeddings of pairs of samples, over that of pairs of real faces: well below "
        "1, all samples look like the same few people.",
        "",
    ),
    Metric(
        "psnr",
        "PSNR, dB",
        "higher",
        "Peak signal-to-noise ratio of reconstructions of test faces, in decibels, averaged over images.",
        "",
    ),
    Metric(
        "ssim",
        "SSIM",
        "higher",
        "Structural similarity of reconstructions to their originals: 1 is identical.",
        "Wang et al. 2004, Image Quality Assessment: From Error Visibility to Structural Similarity",
    ),
    Metric(
        "lpips",
        "LPIPS",
        "lower",
        "Distance between reconstructions and originals in the features of an image classifier, which follows what "
        "people call similar better than pixels do: 0 is identical.",
        "Zhang et al. 2018, The Unreasonable Effectiveness of Deep Features as a Perceptual Metric",
    ),
    Metric(
        "face_distance",
        "Face distance",
        "lower",
        "Distance between the face embeddings of a reconstruction and its original: below about 0.6 the recogniser "
        "takes them for the same person.",
        "King 2017, High Quality Face Recognition with Deep Metric Learning",
    ),
    Metric(
        "bits_per_dim",
        "Bits per dimension",
        "lower",
        "Negative evidence lower bound on the test split, in bits for each colour value: at most how many it takes to "
        "store an image with this model.",
        "Kingma & Welling 2014, Auto-Encoding Variational Bayes",
    ),
    Metric(
        "nearest_train",
        "Nearest training face",
        "one",
        "Median distance from a sample to the nearest training face, over the same for held-out real faces: well "
        "below 1 is memorising.",
        "",
    ),
    Metric(
        "copies",
        "Copies",
        "lower",
        "Share of samples nearer to a training face than all but 1 % of held-out real faces are. New faces give 0.01; "
        "well above it, training faces are being copied.",
        "",
    ),
]
CATALOGUE = {metric.key: metric for metric in _METRICS}  # in the order of the table
