"""The decoder: a latent vector becomes an image."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from face_generation.networks.blocks import SLOPE, ResidualBlock, Upsample, pyramid

NOTCH = 64  # half of the power of the sine in the filter behind the last step


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

    notch: Tensor

    def __init__(self, latent_channels: int, channels: Sequence[int], image_size: int = 150) -> None:
        super().__init__()
        smallest, *larger = reversed(pyramid(image_size, len(channels)))
        self.latent_shape = (latent_channels, smallest, smallest)
        self.stem = nn.Conv2d(latent_channels, channels[0], 3, padding=1)
        self.smallest = nn.Sequential(_block(channels[0]), _block(channels[0]))
        self.larger = nn.ModuleList(
            # The largest map has no noise: it would be grain, in walls as much as in hair.
            _Larger(deep, wide, size, self.latent_shape if size < larger[-1] else None)
            for deep, wide, size in zip(channels, channels[1:], larger, strict=False)
        )
        self.to_rgb = nn.Conv2d(channels[-1], 12, 3, padding=1)
        # The four sub-pixels of a pixel start alike, so nothing at first draws a checkerboard (Aitken et al. 2017).
        weight = self.to_rgb.weight.data
        weight.copy_(weight[::4].repeat_interleave(4, dim=0))
        nn.init.zeros_(self.to_rgb.bias)  # type: ignore[arg-type]
        self.register_buffer("notch", _notch(image_size), persistent=False)

    def forward(self, latents: Tensor) -> Tensor:
        """Latents N×(latent_channels·h·w) → images N×3×H×W, about [-1, 1] (not clamped)."""
        latents = latents.unflatten(1, self.latent_shape)
        x = self.smallest(F.leaky_relu(self.stem(latents), SLOPE))
        for larger in self.larger:
            x = larger(x, latents)
        return self.smooth(F.pixel_shuffle(self.to_rgb(x), 2))

    def smooth(self, images: Tensor) -> Tensor:
        """Filters images N×3×H×W both ways with 1 − sin¹²⁸(ω/2), which lets pass nearly all that a photo has and
        nothing of the finest grid."""
        return self.notch @ images @ self.notch.T


class _Larger(nn.Module):
    """The next larger map: enlarged, with noise if it is given a shape of latents, through a block.

    N×C_in×h×w and latents → N×C_out×size×size.
    """

    def __init__(self, in_channels: int, out_channels: int, size: int, noise_of: tuple[int, int, int] | None) -> None:
        super().__init__()
        self.upsample = Upsample(in_channels, out_channels, size)
        self.noise = LatentNoise(noise_of, size) if noise_of else None
        if noise_of:
            self.strength = nn.Parameter(torch.zeros(out_channels, 1, 1))
        self.block = _block(out_channels)

    def forward(self, x: Tensor, latents: Tensor) -> Tensor:
        x = self.upsample(x)
        if self.noise is not None:
            x = x + self.strength.to(x.dtype) * self.noise(latents).to(x.dtype)
        return self.block(x)


def _block(channels: int) -> ResidualBlock:
    """A residual block with two thirds to three quarters of the channels inside, in sixteens, which is what a processor
    with AVX-512 computes at once."""
    return ResidualBlock(channels, min(channels, max(16, 3 * channels // 4 // 16 * 16)))


class LatentNoise(nn.Module):
    """Noise that is a function of the latents, so that one vector is one face: N×C×h×w → N×1×size×size.

    Strands of hair and the grain of a wall are random, and a network of convolutions without a random input repeats the
    same patterns at the same places instead (StyleGAN; Karras et al. 2019, section 3.2). Here each value is another
    fixed, random combination of the latents around its place. All of an image's are scaled to a mean square of 1, so
    that truncation leaves them as they are.
    """

    def __init__(self, latent_shape: tuple[int, int, int], size: int) -> None:
        super().__init__()
        channels, smallest, _ = latent_shape
        self.size = size
        self.each = -(-size // smallest)  # values that a place of the latents becomes, both ways
        self.combine = nn.Conv2d(channels, self.each**2, 3, padding=1, padding_mode="replicate", bias=False)
        self.combine.requires_grad_(False)
        nn.init.normal_(self.combine.weight, std=(9 * channels) ** -0.5)  # keeps the variance

    def forward(self, latents: Tensor) -> Tensor:
        noise = F.pixel_shuffle(self.combine(latents), self.each)[:, :, : self.size, : self.size]
        return noise * (noise.square().mean((1, 2, 3), keepdim=True) + 1e-4).rsqrt()


def _notch(size: int) -> Tensor:
    """The matrix, size×size, that filters a signal with 1 − sin²ⁿ(ω/2). It is mirrored at its first and last value, so
    that nothing of the finest grid is left there either."""
    highest = 2 * torch.eye(size) - torch.ones(size - 1).diag(1) - torch.ones(size - 1).diag(-1)
    highest[0, 1] = highest[-1, -2] = -2
    return torch.eye(size) - torch.linalg.matrix_power(highest / 4, NOTCH)
