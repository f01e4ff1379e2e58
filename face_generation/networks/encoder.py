"""The encoder: turns an image into the mean and log variance of a Gaussian over latents."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from face_generation.networks.blocks import ConvNormAct, ResidualBlock

LOG_VARIANCES = -10.0, 5.0  # limits far outside the useful range, which keep the exponential from overflowing


class Encoder(nn.Module):
    """Residual convolutional encoder (He et al. 2016).

    Args:
        latent_channels: Latents at each place of the smallest feature map.
        channels: Channels at each resolution, from half the image size down. Four numbers make maps that are 75, 38, 19
            and 10 wide, if images are 150 wide.
        blocks: Residual blocks at each resolution but the largest.

    The first step is a space-to-depth (`pixel_unshuffle`). The next convolution then sees 12 channels at half
    resolution instead of 3 at full resolution, which makes better use of the matrix units of CPUs and GPUs.
    """

    def __init__(self, latent_channels: int, channels: Sequence[int], blocks: int = 1) -> None:
        super().__init__()
        layers: list[nn.Module] = [ConvNormAct(12, channels[0])]
        for wide, deep in pairwise(channels):
            layers += [ConvNormAct(wide, deep, stride=2), *(ResidualBlock(deep) for _ in range(blocks))]
        self.features = nn.Sequential(*layers)
        self.head = nn.Conv2d(channels[-1], 2 * latent_channels, 3, padding=1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images N×3×H×W in [-1, 1], H and W even → mean and log variance, each N×latent_channels×h×w, in float32."""
        features = self.features(F.pixel_unshuffle(images, 2))
        # In bf16, latents would have three decimal digits only.
        with torch.autocast(images.device.type, enabled=False):
            mean, log_variance = self.head(features.float()).chunk(2, dim=1)
        return mean, log_variance.clamp(*LOG_VARIANCES)
