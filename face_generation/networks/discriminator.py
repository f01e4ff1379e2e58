"""The discriminator that refines the VAE's decoder."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from face_generation.networks.blocks import SLOPE, pyramid


class Discriminator(nn.Module):
    """Judges an image as a whole and in patches of two sizes: 3×3 convolutions with spectral normalisation (Miyato et
    al. 2018), leaky ReLU, and last layers that are not normalised: with those bounded too, the logits stayed far inside
    the hinge's margin, and the decoder drew chains of blobs.

    The patches (as in Isola et al. 2017) are what the feature maps of two stages see: 18 and 34 pixels wide with five
    stages. They teach texture from the first steps, where a judgement of the whole says little. As in the encoder, the
    first step is a space-to-depth; with 5×5 convolutions at full resolution a step takes twice as long.

    Args:
        channels: Channels at each resolution, from half the image size down; at least three.
        image_size: Height and width of the images, in pixels; even.
    """

    def __init__(self, channels: Sequence[int], image_size: int = 150) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        for wide, deep in zip((12, *channels), channels, strict=False):
            stride = 2 if self.stages else 1
            convolution = spectral_norm(nn.Conv2d(wide, deep, 3, stride=stride, padding=1))
            self.stages.append(nn.Sequential(convolution, nn.LeakyReLU(SLOPE, inplace=True)))
        self.patches = nn.ModuleList(nn.Conv2d(deep, 1, 1) for deep in channels[-3:-1])
        smallest = pyramid(image_size, len(channels))[-1]
        self.whole = nn.Sequential(nn.Flatten(), nn.Linear(channels[-1] * smallest**2, 1))

    def forward(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Images N×3×H×W → logits, above 0 for real, of the smaller patches (N×1×h×w), the larger ones, and the whole
        (N×1); and the feature maps of each stage."""
        features = []
        x = F.pixel_unshuffle(images, 2)
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        patches = [head(seen) for head, seen in zip(self.patches, features[-3:-1], strict=True)]
        return [*patches, self.whole(x)], features
