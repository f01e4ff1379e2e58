"""The decoder: a latent vector becomes an image."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from face_generation.networks.blocks import SLOPE, ResidualBlock, Upsample, pyramid


class Decoder(nn.Module):
    """Residual convolutional decoder.

    Args:
        latent_channels: Latents at each place of the smallest feature map.
        channels: Channels at each resolution, from the smallest feature map upwards; for 150×150 and five of them the
            feature maps are 5, 10, 19, 38 and 75 wide.
        image_size: Height and width of the images, in pixels; even.

    The last step to full resolution is a sub-pixel convolution (Shi et al. 2016). The smallest map has two blocks, for
    places far apart have to agree on one face.
    """

    def __init__(self, latent_channels: int, channels: Sequence[int], image_size: int = 150) -> None:
        super().__init__()
        smallest, *larger = reversed(pyramid(image_size, len(channels)))
        self.latent_shape = (latent_channels, smallest, smallest)
        self.stem = nn.Conv2d(latent_channels, channels[0], 3, padding=1)
        layers: list[nn.Module] = [ResidualBlock(channels[0]), ResidualBlock(channels[0])]
        for deep, wide, size in zip(channels, channels[1:], larger, strict=False):
            layers += [Upsample(deep, wide, size), ResidualBlock(wide)]
        self.features = nn.Sequential(*layers)
        self.to_rgb = nn.Conv2d(channels[-1], 12, 3, padding=1)
        # The four sub-pixels of a pixel start alike, so nothing at first draws a checkerboard (Aitken et al. 2017).
        weight = self.to_rgb.weight.data
        weight.copy_(weight[::4].repeat_interleave(4, dim=0))
        nn.init.zeros_(self.to_rgb.bias)  # type: ignore[arg-type]

    def forward(self, latents: Tensor) -> Tensor:
        """Latents N×(latent_channels·h·w) → images N×3×H×W, about [-1, 1] (not clamped)."""
        x = F.leaky_relu(self.stem(latents.unflatten(1, self.latent_shape)), SLOPE)
        return self._smooth(F.pixel_shuffle(self.to_rgb(self.features(x)), 2))

    def _smooth(self, images: Tensor) -> Tensor:
        """Filters both ways with 1 − sin⁶(ω/2), which lets pass what a photo has and nothing of the finest grid."""
        kernel = images.new_tensor([1, -6, 15, 44, 15, -6, 1]) / 64
        images = F.pad(images, (3,) * 4, mode="replicate")
        images = F.conv2d(images, kernel.expand(3, 1, 1, 7), groups=3)
        return F.conv2d(images, kernel[:, None].expand(3, 1, 7, 1), groups=3)
