"""The decoder: turns latents into an image."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from face_generation.networks.blocks import SLOPE, ResidualBlock, Upsample, pyramid


class Decoder(nn.Module):
    """Residual convolutional decoder (He et al. 2016).

    Args:
        latent_channels: Latents at each place of the smallest feature map.
        channels: Channels at each resolution, from the smallest feature map up to the image. Five numbers make maps
            that are 10, 19, 38, 75 and 150 wide, if images are 150 wide.
        image_size: Height and width of the images, in pixels; even.
        blocks: Residual blocks at each resolution. The smallest map has twice as many, because distant places must
            agree on one face.

    The last step to full resolution resizes, as all others do. With a sub-pixel convolution there, the decoder answered
    a discriminator with grids, because twelve constants are enough to draw them.
    """

    def __init__(self, latent_channels: int, channels: Sequence[int], image_size: int, blocks: int = 1) -> None:
        super().__init__()
        smallest, *larger = reversed([image_size, *pyramid(image_size, len(channels) - 1)])
        self.latent_shape = (latent_channels, smallest, smallest)
        self.stem = nn.Conv2d(latent_channels, channels[0], 3, padding=1)
        layers: list[nn.Module] = [ResidualBlock(channels[0]) for _ in range(2 * blocks)]
        for deep, wide, size in zip(channels, channels[1:], larger, strict=False):
            layers += [Upsample(deep, wide, size), *(ResidualBlock(wide) for _ in range(blocks))]
        self.features = nn.Sequential(*layers)
        self.to_rgb = nn.Conv2d(channels[-1], 3, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        """Latents N×latent_channels×h×w → images N×3×H×W, about [-1, 1] (not clamped)."""
        return self.to_rgb(self.features(F.leaky_relu(self.stem(latents), SLOPE)))
