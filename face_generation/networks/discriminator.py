"""The discriminators that refine the VAE's decoder."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from face_generation.networks.blocks import SLOPE

GAIN = 8  # of detail, which then varies about as much as images do
DIRECTIONS = 32  # along which a discriminator of places measures energy
LARGEST = 10  # pixels of a map that is judged; larger ones are halved until they fit


class ProjectedDiscriminator(nn.Module):
    """Judges the maps of a frozen feature network (Projected GAN; Sauer et al. 2021), one head for each resolution.

    The maps are first mixed by random, fixed convolutions: the channels of each, and each with the coarser ones. So no
    head can do with a few channels, and the fine ones know what the coarse ones see. The heads have spectral
    normalisation (Miyato et al. 2018) and see how much a batch varies at each place (Karras et al. 2018): a decoder
    that draws the same eyes into every face would have to vary them.

    Args:
        in_channels: Of the maps, from the finest down.
        channels: Of the mixed maps, which the heads begin with; they double with each halving, up to the last one.
        sizes: Of the maps, in pixels.
    """

    def __init__(self, in_channels: Sequence[int], channels: Sequence[int], sizes: Sequence[int]) -> None:
        super().__init__()
        between = zip(in_channels, channels, strict=True)
        self.across_channels = nn.ModuleList(nn.Conv2d(seen, mixed, 1, bias=False) for seen, mixed in between)
        self.across_scales = nn.ModuleList(
            nn.Conv2d(coarse, fine, 1, bias=False) for fine, coarse in pairwise(channels)
        )
        for convolution in [*self.across_channels, *self.across_scales]:
            convolution.requires_grad_(False)
            nn.init.normal_(convolution.weight, std=1 / math.sqrt(convolution.weight[0].numel()))  # keeps the variance
        self.heads = nn.ModuleList(
            _Head(mixed, channels[-1], size) for mixed, size in zip(channels, sizes, strict=True)
        )

    def forward(self, maps: Sequence[Tensor], batches: int = 1) -> list[Tensor]:
        """Maps N×C×h×w, from the finest down → logits of each head, N×1×h'×w', above 0 for real.

        The N rows may be several batches of equal size, one behind the other, whose variation is seen apart.
        """
        mixed = [mix(seen) for mix, seen in zip(self.across_channels, maps, strict=True)]
        for fine in reversed(range(len(mixed) - 1)):
            size = mixed[fine].shape[2:]
            coarse = F.interpolate(
                self.across_scales[fine](mixed[fine + 1]), size=size, mode="bilinear", align_corners=False
            )
            mixed[fine] = (mixed[fine] + coarse) * math.sqrt(0.5)
        return [head(seen, batches) for head, seen in zip(self.heads, mixed, strict=True)]


class _Head(nn.Module):
    """Convolutions that halve a map until it is small, one at least; then a logit for each place."""

    def __init__(self, channels: int, most: int, size: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        while size > LARGEST or not layers:
            stride = 2 if size > LARGEST else 1
            deeper = min(2 * channels, most)
            layers.append(spectral_norm(nn.Conv2d(channels, deeper, 3, stride=stride, padding=1)))
            layers.append(nn.LeakyReLU(SLOPE, inplace=True))
            channels, size = deeper, -(-size // stride)
        self.layers = nn.Sequential(*layers)
        self.logit = spectral_norm(nn.Conv2d(channels + 1, 1, 3, padding=1))

    def forward(self, x: Tensor, batches: int) -> Tensor:
        x = self.layers(x)
        grouped = x.float().unflatten(0, (batches, -1))
        variance = grouped.var(1, correction=0)
        spread = (variance + 1e-6).sqrt().mean(1, keepdim=True).repeat_interleave(grouped.shape[1], 0)
        return self.logit(torch.cat([x, spread.to(x.dtype)], 1))


class TextureDiscriminator(nn.Module):
    """Judges the finest detail of images: what a 5×5 average leaves out, in patches of 30 pixels (Isola et al. 2017).
    Of shrunk images, that is coarser detail (Denton et al. 2015).

    Without what is coarser, which varies far more from image to image than detail does, it learns within some hundred
    steps to tell photos from what the decoder draws; with it, it does not.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 32, 4, stride=2, padding=1),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Conv2d(32, 64, 4, stride=2, padding=1),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Conv2d(64, 1, 3, padding=1),
        )
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, SLOPE)

    def forward(self, images: Tensor) -> Tensor:
        """Images N×3×H×W in [-1, 1] → logits N×1×⌊H/4⌋×⌊W/4⌋, above 0 for real."""
        return self.layers(GAIN * _detail(images))


class PlaceDiscriminator(nn.Module):
    """Judges what is drawn where: the energy of an image's detail along learned directions, each an image itself.

    Convolutions that see shifted images cannot tell that a pattern comes back at the same places of every image, as
    the chains of rings did that decoders draw into backgrounds; along such a pattern, samples have many times the
    energy of photos. Only energies are weighed, as in the log ratio of two Gaussians, so that few faces are enough and
    little else is judged; and their logarithms, for one odd image must not outweigh all others.

    Args:
        size: Height and width of the images, in pixels.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.directions = nn.Linear(3 * size * size, DIRECTIONS, bias=False)
        self.energies = nn.Linear(DIRECTIONS, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Images N×3×size×size in [-1, 1] → logits N×1, above 0 for real."""
        return self.energies(self.directions(GAIN * _detail(images).flatten(1)).square().log1p())


def _detail(images: Tensor) -> Tensor:
    """Images N×3×H×W, less their 5×5 average."""
    return images - F.avg_pool2d(images, 5, stride=1, padding=2, count_include_pad=False)
