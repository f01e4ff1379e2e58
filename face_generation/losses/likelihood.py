"""The losses of a VAE: likelihoods of images given their reconstructions, and the KL divergence of latents."""

import math

import torch
from torch import Tensor, nn

from face_generation.networks import FeatureNetwork


class PixelLikelihood(nn.Module):
    """Negative log likelihood of pixels under a Gaussian around the reconstruction.

    All pixels share one variance. The mean squared error is the variance that maximises the likelihood, so there is
    nothing to tune (σ-VAE; Rybkin et al. 2021).
    """

    def forward(self, reconstructions: Tensor, images: Tensor) -> Tensor:
        """Two batches of images N×3×H×W → nats per image, a scalar."""
        return _optimal_nats((reconstructions - images).square().mean(), images[0].numel())


class FeatureLikelihood(nn.Module):
    """Negative log likelihood of an image's feature maps in a frozen network that was trained on photos (Hou et al.
    2017).

    Each map has its own variance. The loss is the mean over maps, each weighted as if it had as many values as the
    image. With it, latents hold more of what makes faces differ and less of what makes pixels differ.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network = FeatureNetwork()

    def forward(self, reconstructions: Tensor, images: Tensor) -> Tensor:
        """Two batches of images N×3×H×W → nats per image, a scalar."""
        with torch.no_grad():
            targets = self.network(images)
        errors = [
            (seen.float() - target.float()).square().mean()
            for seen, target in zip(self.network(reconstructions), targets, strict=True)
        ]
        return torch.stack([_optimal_nats(error, images[0].numel()) for error in errors]).mean()


def _optimal_nats(squared_error: Tensor, dimensions: int) -> Tensor:
    """−log N(x | x̂, σ²·I) in nats at the optimal σ², from the mean squared error over `dimensions` values."""
    return 0.5 * dimensions * (math.log(2 * math.pi) + squared_error.log() + 1)


class KLDivergence(nn.Module):
    """Kullback-Leibler divergence of a Gaussian posterior from N(0, I) (Kingma & Welling 2014)."""

    def forward(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        """Mean and log variance, N×C×h×w each → nats per image, a scalar."""
        return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).flatten(1).sum(1).mean()
